/** Reads images from a registry: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md */
import { ShaleError } from "../../errors.ts";
import { MAX_MANIFEST_BYTES } from "../../image/document.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { BlobDigest } from "../../image/digest.ts";
import { computeDigest } from "../../image/compute-digest.ts";
import { parseManifestDocument } from "../../image/manifest.ts";
import { MANIFEST_ACCEPT } from "../../image/media-type.ts";
import { formatReference, type Reference, type RegistryReference } from "../../image/reference.ts";
import { Authorizer } from "../auth/authorizer.ts";
import { requestedRange, type ByteRange } from "../byte-range.ts";
import type { OpenOptions } from "./blob-stream.ts";
import type { Credentials, CredentialsProvider } from "../auth/credentials.ts";
import { findCredentials } from "../auth/find-credentials.ts";
import { ForeignLayers } from "./foreign-layers.ts";
import { RegistryClient } from "./registry-client.ts";
import type { Host } from "../hosts/host.ts";
import { HttpClient, type HttpResponse } from "../http/http-client.ts";
import type { HttpOptions } from "../http/http-options.ts";
import { checkDigestHeader, parseDigestHeader, readManifestBody } from "./manifest-response.ts";
import { streamRanges, type ParallelRanges } from "./parallel-ranges.ts";
import { proxyFromEnvironment } from "../http/proxy.ts";
import { DEFAULT_RETRY, type RetryPolicy } from "../http/retry.ts";
import type { BlobOptions, ManifestDocument, Source, SourceOptions } from "../source.ts";
import { verifyManifest } from "../verify-manifest.ts";

export interface RegistrySourceOptions {
  /**
   * One set for every registry (not for mirrors), a provider, or "anonymous". Default: from Docker's and the containers tools' files
   * (`findCredentials`). Sent only to the host that they are for and to its token server.
   */
  readonly credentials?: Credentials | CredentialsProvider | "anonymous" | undefined;
  /** Use plain HTTP for all registries, or for these hosts (`localhost:5000`). Default: none, not even loopback. */
  readonly plainHttp?: boolean | readonly string[] | undefined;
  /** Accept any certificate of all hosts, or of these. Default: none. */
  readonly insecure?: boolean | readonly string[] | undefined;
  /** Certificates of authorities (PEM) to trust in addition to Node's. */
  readonly ca?: string | readonly string[] | undefined;
  /** Directories with hosts.toml files and certificates, in search order. Default: those of containerd, the containers tools and Docker. */
  readonly hostDirectories?: readonly string[] | undefined;
  /** Fetch layers that the registry lacks from the `urls` of their descriptors. Default false. */
  readonly allowForeignLayers?: boolean | undefined;
  /** Fetch large blobs with several concurrent requests. Default: one. */
  readonly parallelRanges?: ParallelRanges | undefined;
  /** Offer HTTP/2 to servers with TLS. Default false. */
  readonly http2?: boolean | undefined;
  readonly userAgent?: string | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
  readonly http?: HttpOptions | undefined;
}

interface ManifestCall {
  readonly name: string;
  readonly method?: "HEAD";
  readonly options: SourceOptions;
}

/** Statuses that mean that HEAD is not supported: the caller falls back to GET. */
const NO_HEAD: readonly number[] = [400, 404, 405, 406, 501];

/** Loads and connects nothing before the first request. */
export class RegistrySource implements Source {
  readonly #options: RegistrySourceOptions;
  readonly #policy: RetryPolicy;
  readonly #client: HttpClient;
  readonly #registry: RegistryClient;
  readonly #foreign: ForeignLayers;

  constructor(options: RegistrySourceOptions = {}) {
    const { credentials = findCredentials(), userAgent = "shale", http2 = false } = options;
    this.#options = options;
    this.#policy = { ...DEFAULT_RETRY, ...options.retry };
    this.#client = new HttpClient({
      proxyFor: proxyFromEnvironment(process.env),
      userAgent,
      http2,
      ...manyConnections(options),
      ...options.http,
    });
    const lookup = ({ name, mirror }: Host, repository: string): ReturnType<CredentialsProvider> => {
      if (credentials === "anonymous") return undefined;
      if (typeof credentials === "function") return credentials(name, repository);
      return mirror ? undefined : credentials;
    };
    this.#foreign = new ForeignLayers(this.#client, this.#policy);
    this.#registry = new RegistryClient(this.#client, new Authorizer(this.#client, lookup, this.#policy), {
      ...options,
      policy: this.#policy,
    });
  }

  async resolve(reference: Reference, options: SourceOptions = {}): Promise<ManifestDocument> {
    const named = registryReference(reference);
    const name = named.digest ?? named.tag ?? "latest";
    return this.#manifest(named, { name, options }, async (response) => {
      const bytes = await readManifestBody(response, named.digest);
      const digest = computeDigest(bytes, named.digest);
      verifyManifest(bytes, { digest: named.digest ?? digest, size: bytes.length });
      checkDigestHeader(bytes, response.header("docker-content-digest"));
      const { mediaType } = parseManifestDocument(bytes, response.header("content-type"));
      return { bytes, descriptor: { mediaType, digest, size: bytes.length } };
    });
  }

  async resolveDigest(reference: Reference, options: SourceOptions = {}): Promise<BlobDigest | undefined> {
    const named = registryReference(reference);
    if (named.digest !== undefined) return named.digest;
    return this.#manifest(named, { name: named.tag ?? "latest", method: "HEAD", options }, (response) => {
      response.body.discard();
      return Promise.resolve(response.status === 200 ? parseDigestHeader(response.header("docker-content-digest")) : undefined);
    });
  }

  async readManifest(reference: Reference, descriptor: Descriptor, options: SourceOptions = {}): Promise<ManifestDocument> {
    const named = registryReference(reference);
    if (descriptor.size > MAX_MANIFEST_BYTES) {
      const message = `manifest ${descriptor.digest} has ${descriptor.size} bytes, more than the limit of ${MAX_MANIFEST_BYTES}`;
      throw new ShaleError("MANIFEST_TOO_LARGE", message, { limit: MAX_MANIFEST_BYTES });
    }
    return this.#manifest(named, { name: descriptor.digest, options }, async (response) => {
      const bytes = await readManifestBody(response, descriptor.digest);
      verifyManifest(bytes, descriptor);
      checkDigestHeader(bytes, response.header("docker-content-digest"));
      parseManifestDocument(bytes, descriptor.mediaType);
      return { bytes, descriptor };
    });
  }

  readBlob(reference: Reference, descriptor: Descriptor, options: BlobOptions = {}): AsyncIterable<Uint8Array> {
    const named = registryReference(reference);
    const avoid = new Set(options.avoid);
    const { urls = [] } = descriptor;
    const next =
      urls.length === 0 || this.#options.allowForeignLayers === true
        ? "push the image again"
        : "push the image again, or allow its download from the URLs in the manifest with `allowForeignLayers`";
    const call = {
      reference: named,
      needs: "pulls" as const,
      path: `blobs/${descriptor.digest}`,
      accepted: [200, 206, 416],
      options: { ...options, avoid },
      what: `blob ${descriptor.digest} of ${named.repository}`,
      notFound: () => {
        const message = `registry "${named.registry}" does not have blob ${descriptor.digest} of ${named.repository}; ${next}`;
        return new ShaleError("BLOB_NOT_FOUND", message, { digest: descriptor.digest });
      },
    };
    let serving: Host | undefined;
    let foreign = false;
    const open = async (range: ByteRange | undefined, { signal, again }: OpenOptions): Promise<HttpResponse> => {
      const own = { ...call, options: { ...call.options, signal } };
      // the transfer from the mirror broke: ask it last
      if (again && serving?.mirror === true) avoid.add(serving.base.host);
      const headers = { accept: "*/*", ...(range && { range: `bytes=${range.start}-${range.end - 1}` }) };
      const read = (response: HttpResponse, host: Host): Promise<HttpResponse> => {
        if (host !== serving) options.onEvent?.({ kind: "serving", host: host.base.host, mirror: host.mirror });
        serving = host;
        return Promise.resolve(response);
      };
      try {
        if (!foreign) return await this.#registry.send({ ...own, headers, read });
      } catch (error) {
        if (this.#options.allowForeignLayers !== true || urls.length === 0 || !ShaleError.is(error, "BLOB_NOT_FOUND")) throw error;
        foreign = true;
      }
      const registry = (await this.#registry.hostsOf(named.registry)).at(-1);
      if (registry === undefined) throw call.notFound();
      const response = await this.#foreign.open({ ...own, urls, registry, headers });
      options.onEvent?.({ kind: "serving", host: response.url.host, mirror: true });
      return response;
    };
    const { signal, onEvent } = options;
    const host = (): string => serving?.base.host ?? named.registry;
    const transfer = { descriptor, wanted: requestedRange(descriptor, options), policy: this.#policy, signal, onEvent, host, open };
    return streamRanges(transfer, this.#options.parallelRanges);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #manifest<T>(
    reference: RegistryReference,
    { name, method, options }: ManifestCall,
    read: (response: HttpResponse) => Promise<T>,
  ): Promise<T> {
    const text = formatReference(reference);
    const notFound = (): ShaleError =>
      new ShaleError("IMAGE_NOT_FOUND", `registry "${reference.registry}" does not have image "${text}"; check the name and the tag`, {
        reference: text,
      });
    return this.#registry.send({
      reference,
      needs: name.includes(":") ? "pulls" : "resolves",
      ...(method && { method }),
      path: `manifests/${name}`,
      headers: { accept: MANIFEST_ACCEPT },
      accepted: method === "HEAD" ? [200, ...NO_HEAD] : [200],
      options,
      what: `the manifest of "${text}"`,
      notFound,
      read,
    });
  }
}

/** Connections for all blobs that are fetched concurrently, and some for manifests. */
function manyConnections({ parallelRanges }: RegistrySourceOptions): HttpOptions {
  return parallelRanges === undefined ? {} : { connectionsPerHost: 4 * parallelRanges.count };
}

function registryReference(reference: Reference): RegistryReference {
  if (reference.transport === "docker") return reference;
  throw new TypeError(`"${formatReference(reference)}" does not name an image in a registry`);
}
