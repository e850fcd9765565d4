/** Images from a registry: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md */
import { ShaleError } from "../errors.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { parseManifestDocument, MAX_MANIFEST_BYTES } from "../image/manifest.ts";
import { MANIFEST_ACCEPT } from "../image/media-type.ts";
import { formatReference, type Reference, type RegistryReference } from "../image/reference.ts";
import { Authorizer, type Endpoint } from "./auth.ts";
import { streamBlob, wantedRange, type ByteRange } from "./blob-stream.ts";
import { parseChallenges } from "./challenge.ts";
import type { Credentials, CredentialsProvider } from "./credentials.ts";
import { HttpClient, type HttpOptions, type HttpResponse } from "./http-client.ts";
import { checkDigestHeader, computeDigest, readDocument, verifyDocument } from "./manifest-bytes.ts";
import { sendFollowing } from "./redirect.ts";
import { statusError, type StatusContext } from "./registry-error.ts";
import { DEFAULT_RETRY, retry, type RetryPolicy } from "./retry.ts";
import type { BlobOptions, ManifestDocument, Source, SourceOptions } from "./source.ts";

export interface RegistrySourceOptions {
  /** For every registry, or looked up by registry; default: anonymous. They go to the registry's origin and its token server only. */
  readonly credentials?: Credentials | CredentialsProvider | undefined;
  /** Speak plain HTTP, to all registries or to these hosts (`localhost:5000`); default: to none, loopback included. */
  readonly plainHttp?: boolean | readonly string[] | undefined;
  readonly userAgent?: string | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
  readonly http?: HttpOptions | undefined;
}

interface Call<T> extends StatusContext {
  readonly reference: RegistryReference;
  /** Below the repository: `manifests/latest`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly accepted: readonly number[];
  readonly signal: AbortSignal | undefined;
  readonly read: (response: HttpResponse) => Promise<T>;
}

/** Nothing is loaded or connected before the first request. */
export class RegistrySource implements Source {
  readonly #options: RegistrySourceOptions;
  readonly #policy: RetryPolicy;
  readonly #client: HttpClient;
  readonly #authorizer: Authorizer;

  constructor(options: RegistrySourceOptions = {}) {
    const { credentials } = options;
    this.#options = options;
    this.#policy = { ...DEFAULT_RETRY, ...options.retry };
    this.#client = new HttpClient(options.http);
    this.#authorizer = new Authorizer(this.#client, typeof credentials === "function" ? credentials : () => credentials, this.#policy);
  }

  async resolve(reference: Reference, options: SourceOptions = {}): Promise<ManifestDocument> {
    const named = registryReference(reference);
    const name = named.digest ?? named.tag ?? "latest";
    return this.#manifest(named, { name, signal: options.signal }, async (response) => {
      const bytes = await readDocument(response, named.digest);
      const digest = computeDigest(bytes, named.digest);
      verifyDocument(bytes, { digest: named.digest ?? digest, size: bytes.length });
      checkDigestHeader(bytes, response.header("docker-content-digest"));
      const { mediaType } = parseManifestDocument(bytes, response.header("content-type"));
      return { bytes, descriptor: { mediaType, digest, size: bytes.length } };
    });
  }

  async readManifest(reference: Reference, descriptor: Descriptor, options: SourceOptions = {}): Promise<ManifestDocument> {
    const named = registryReference(reference);
    if (descriptor.size > MAX_MANIFEST_BYTES) {
      const message = `manifest ${descriptor.digest} has ${descriptor.size} bytes; at most ${MAX_MANIFEST_BYTES} are read`;
      throw new ShaleError("MANIFEST_TOO_LARGE", message, { limit: MAX_MANIFEST_BYTES });
    }
    return this.#manifest(named, { name: descriptor.digest, signal: options.signal }, async (response) => {
      const bytes = await readDocument(response, descriptor.digest);
      verifyDocument(bytes, descriptor);
      checkDigestHeader(bytes, response.header("docker-content-digest"));
      parseManifestDocument(bytes, descriptor.mediaType);
      return { bytes, descriptor };
    });
  }

  readBlob(reference: Reference, descriptor: Descriptor, options: BlobOptions = {}): AsyncIterable<Uint8Array> {
    const named = registryReference(reference);
    const { signal } = options;
    const call = {
      reference: named,
      path: `blobs/${descriptor.digest}`,
      accepted: [200, 206, 416],
      signal,
      what: `blob ${descriptor.digest} of ${named.repository}`,
      notFound: () => {
        const message = `registry "${named.registry}" does not have blob ${descriptor.digest} of ${named.repository}; push the image again`;
        return new ShaleError("BLOB_NOT_FOUND", message, { digest: descriptor.digest });
      },
      read: (response: HttpResponse) => Promise.resolve(response),
    };
    const open = (range: ByteRange | undefined): Promise<HttpResponse> =>
      this.#call({ ...call, headers: { accept: "*/*", ...(range && { range: `bytes=${range.start}-${range.end - 1}` }) } });
    return streamBlob({ descriptor, wanted: wantedRange(descriptor, options), policy: this.#policy, signal, open });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #manifest<T>(
    reference: RegistryReference,
    { name, signal }: { name: string; signal: AbortSignal | undefined },
    read: (response: HttpResponse) => Promise<T>,
  ): Promise<T> {
    const text = formatReference(reference);
    const notFound = (): ShaleError =>
      new ShaleError("IMAGE_NOT_FOUND", `registry "${reference.registry}" has no image "${text}"; check the name and the tag`, {
        reference: text,
      });
    const headers = { accept: MANIFEST_ACCEPT };
    return this.#call({
      reference,
      path: `manifests/${name}`,
      headers,
      accepted: [200],
      signal,
      what: `the manifest of "${text}"`,
      notFound,
      read,
    });
  }

  /** One request with everything around it: authorization, redirects, tries, errors. */
  async #call<T>(call: Call<T>): Promise<T> {
    return retry(this.#policy, call.signal, async () => {
      const response = await this.#sendAuthorized(call);
      if (!call.accepted.includes(response.status)) throw await statusError(response, call);
      return call.read(response);
    });
  }

  /** A 401 of the registry itself is answered once; of any other origin, or again, it stands. */
  async #sendAuthorized<T>(call: Call<T>): Promise<HttpResponse> {
    const { repository } = call.reference;
    const endpoint = this.#endpoint(call.reference);
    const scope = `repository:${repository}:pull`;
    const url = new URL(`/v2/${repository}/${call.path}`, endpoint.url);
    const send = (authorization: string | undefined): Promise<HttpResponse> => {
      const headers = { "accept-encoding": "identity", "user-agent": this.#options.userAgent ?? "shale", ...call.headers };
      return sendFollowing(this.#client, {
        url,
        headers: authorization === undefined ? headers : { ...headers, authorization },
        signal: call.signal,
      });
    };
    const tried = this.#authorizer.current(endpoint, scope);
    const response = await send(tried);
    if (response.status !== 401 || response.url.origin !== endpoint.url.origin) return response;
    const challenges = parseChallenges(response.headers("www-authenticate"));
    response.body.discard();
    const renewed = this.#authorizer.renew(endpoint, scope, { challenges, rejected: tried });
    return send(await abortable(renewed, call.signal));
  }

  #endpoint({ registry }: RegistryReference): Endpoint {
    const { plainHttp = false } = this.#options;
    const plain = typeof plainHttp === "boolean" ? plainHttp : plainHttp.includes(registry);
    const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
    return { name: registry, url: new URL(`${plain ? "http" : "https"}://${host}`) };
  }
}

function registryReference(reference: Reference): RegistryReference {
  if (reference.transport === "docker") return reference;
  throw new TypeError(`a registry cannot read "${formatReference(reference)}"`);
}

/** What others wait for too is not ended by one signal; the wait is. */
async function abortable<T>(shared: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return shared;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([shared, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
