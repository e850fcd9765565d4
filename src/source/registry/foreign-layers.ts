/**
 * Fetches layers that the registry lacks from the `urls` of their descriptors. The image's maker chose these URLs, so they are untrusted: only
 * https, no credentials or client certificates, and no private address except the registry's own.
 */
import type { Host } from "../hosts/host.ts";
import { sendFollowing } from "../http/follow-redirects.ts";
import type { HttpClient, HttpResponse } from "../http/http-client.ts";
import { retry, type RetryPolicy, type RetryTarget } from "../http/retry.ts";
import { statusError, type StatusContext } from "../http/status-error.ts";
import { makeTls, type TlsSettings } from "../http/tls-settings.ts";
import type { SourceOptions } from "../source.ts";

export interface ForeignRequest extends StatusContext {
  readonly urls: readonly string[];
  /** The registry that the image is pulled from. */
  readonly registry: Host;
  readonly headers: Readonly<Record<string, string>>;
  readonly options: SourceOptions;
}

/** Further URLs of a descriptor are ignored. */
const MAX_URLS = 8;
const ACCEPTED: readonly number[] = [200, 206, 416];

export class ForeignLayers {
  readonly #client: HttpClient;
  readonly #policy: RetryPolicy;
  readonly #anonymous: WeakMap<TlsSettings, { readonly tls: TlsSettings | undefined }> = new WeakMap();

  constructor(client: HttpClient, policy: RetryPolicy) {
    this.#client = client;
    this.#policy = policy;
  }

  /**
   * Returns the response of the first URL that has the layer, in the descriptor's order; hosts to avoid come last. All URLs but the last
   * one get a single attempt.
   * @throws BLOB_NOT_FOUND if no URL may be requested; the last URL's error if all fail
   */
  async open(request: ForeignRequest): Promise<HttpResponse> {
    const { signal, onEvent } = request.options;
    const urls = usableUrls(request);
    if (urls.length === 0) throw request.notFound();
    const targets = urls.map((url, index): RetryTarget<HttpResponse> => ({
      host: url.host,
      ...(index < urls.length - 1 && { tries: 1 }),
      attempt: async () => this.#attempt(url, request),
    }));
    return retry(targets, { policy: this.#policy, signal, onEvent });
  }

  async #attempt(url: URL, request: ForeignRequest): Promise<HttpResponse> {
    const { registry, options } = request;
    const response = await sendFollowing(this.#client, {
      url,
      headers: { ...request.headers, "accept-encoding": "identity" },
      signal: options.signal,
      publicOnly: url.host !== registry.base.host,
      tls: (at) => this.#withoutClients(registry.tls(at)),
    });
    if (ACCEPTED.includes(response.status)) return response;
    throw await statusError(response, request);
  }

  /** Only the registry may see client certificates. One object per settings, because connections are pooled by its identity. */
  #withoutClients(settings: TlsSettings | undefined): TlsSettings | undefined {
    if (settings === undefined || settings.clients.length === 0) return settings;
    const known = this.#anonymous.get(settings) ?? { tls: makeTls({ ...settings, clients: [] }) };
    this.#anonymous.set(settings, known);
    return known.tls;
  }
}

function usableUrls({ urls, options: { avoid } }: ForeignRequest): readonly URL[] {
  const usable = urls.slice(0, MAX_URLS).flatMap((text) => {
    const url = URL.parse(text);
    return url?.protocol === "https:" && url.username === "" && url.password === "" ? [url] : [];
  });
  const isAvoided = ({ host }: URL): number => Number(avoid?.has(host) ?? false);
  return usable.toSorted((a, b) => isAvoided(a) - isAvoided(b));
}
