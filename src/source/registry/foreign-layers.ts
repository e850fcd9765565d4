/**
 * Layers that the registry does not have and whose descriptor says where else they are (`urls`). The URLs are the image maker's,
 * a stranger's: https alone, nothing that tells who we are, and no address inside but the registry's own.
 */
import { ShaleError } from "../../errors.ts";
import type { Host } from "../hosts/host.ts";
import type { HttpClient, HttpResponse } from "../http/http-client.ts";
import { sendFollowing } from "../http/follow-redirects.ts";
import { statusError, type StatusContext } from "../http/status-error.ts";
import { retry, type RetryPolicy } from "../http/retry.ts";
import type { SourceOptions } from "../source.ts";
import { makeTls, type TlsSettings } from "../http/tls-settings.ts";

export interface ForeignRequest extends StatusContext {
  readonly urls: readonly string[];
  /** Of the image. */
  readonly registry: Host;
  readonly headers: Readonly<Record<string, string>>;
  readonly options: SourceOptions;
}

/** Of a descriptor's list; what comes after is not looked at. */
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
   * The first URL that answers, in the descriptor's order; hosts to avoid come last.
   * @throws BLOB_NOT_FOUND when no URL may be asked; the last one's failure when all fail
   */
  async open(request: ForeignRequest): Promise<HttpResponse> {
    const { options, notFound } = request;
    const urls = usableUrls(request);
    for (const [index, url] of urls.entries()) {
      const others = index < urls.length - 1;
      try {
        return await this.#ask(url, request, others ? { ...this.#policy, tries: 1 } : this.#policy);
      } catch (error) {
        options.signal?.throwIfAborted();
        if (!others || !ShaleError.is(error)) throw error;
        options.onEvent?.({ kind: "retrying", host: url.host, code: error.code, message: error.message, delayMs: 0 });
      }
    }
    throw notFound();
  }

  #ask(url: URL, request: ForeignRequest, policy: RetryPolicy): Promise<HttpResponse> {
    const { headers, registry, options } = request;
    const { signal, onEvent } = options;
    const publicOnly = url.host !== registry.base.host;
    const tls = (at: URL): TlsSettings | undefined => this.#withoutClients(registry.tls(at));
    const onRetry = ({ code, message }: ShaleError, delayMs: number): void =>
      onEvent?.({ kind: "retrying", host: url.host, code, message, delayMs });
    return retry({ policy, signal, onRetry }, async () => {
      const sent = { ...headers, "accept-encoding": "identity" };
      const response = await sendFollowing(this.#client, { url, headers: sent, signal, publicOnly, tls });
      if (ACCEPTED.includes(response.status)) return response;
      throw await statusError(response, request);
    });
  }

  /** Certificates that say who we are are the registry's to see. Made once for each: connections are kept by identity. */
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
