/**
 * A pull-only OCI registry in this process, on 127.0.0.1, with plain HTTP or TLS. It records every request and injects faults on demand.
 * It can also forward requests to another registry and inject faults into the answers. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
 */
import { once } from "node:events";
import { createServer as createSecureServer } from "node:https";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createSecureServer as createHttp2Server, type Http2SecureServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { isManifestMediaType } from "../image/media-type.ts";
import { TestAuthorizer, type AuthReply, type RegistryAuth } from "./auth.ts";
import type { TestBlob } from "./blob.ts";
import { answerWithFault, forward, sendBlob, sendJson, type Exchange, type Mutable } from "./exchange.ts";
import { FaultList, type Fault, type RecordedRequest } from "./faults.ts";
import { blobsOf, type TestImage, type TestImageIndex } from "./image.ts";

export interface RegistryOptions {
  readonly auth?: RegistryAuth;
  readonly faults?: readonly Fault[];
  /** Forward requests to this registry (`http://127.0.0.1:5000`), to test faults with a real one. */
  readonly upstream?: string;
  /** The loopback address to listen on; default 127.0.0.1. */
  readonly address?: string;
  /** Use TLS. */
  readonly tls?: {
    /** PEM. */
    readonly key: string;
    readonly cert: string;
    /** Accept only clients with a certificate of this authority. */
    readonly clientCa?: string;
    /** Use HTTP/2 with clients that offer it. Default false. */
    readonly http2?: boolean;
  };
}

export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const { tls } = options;
  const server = tls === undefined ? createServer() : createTlsServer(tls);
  server.listen(0, options.address ?? "127.0.0.1");
  await once(server, "listening");
  return new TestRegistry(server, options);
}

type AnyServer = Server | Http2SecureServer;

function createTlsServer({ key, cert, clientCa, http2 }: NonNullable<RegistryOptions["tls"]>): AnyServer {
  const options = { key, cert, ...(clientCa !== undefined && { ca: clientCa, requestCert: true }) };
  return http2 === true ? createHttp2Server({ ...options, allowHTTP1: true }) : createSecureServer(options);
}

type Repository = { readonly blobs: Map<string, TestBlob>; readonly tags: Map<string, string> };

/** Created by `startRegistry`. Stop it with `await using` or `close()`. */
export class TestRegistry {
  /** `127.0.0.1:PORT`: the registry part of a reference. */
  readonly host: string;
  /** In order of arrival. */
  readonly requests: RecordedRequest[] = [];
  readonly #server: AnyServer;
  readonly #sockets: Set<Socket> = new Set();
  readonly #repositories: Map<string, Repository> = new Map();
  readonly #faults: FaultList = new FaultList();
  readonly #authorizer: TestAuthorizer;
  readonly #upstream: string | undefined;
  readonly #scheme: "http" | "https";

  constructor(server: AnyServer, options: RegistryOptions) {
    const { address, port } = server.address() as AddressInfo;
    this.host = `${address}:${port}`;
    this.#server = server;
    this.#scheme = options.tls === undefined ? "http" : "https";
    this.#authorizer = new TestAuthorizer(options.auth);
    this.#upstream = options.upstream;
    this.#faults.add(options.faults ?? []);
    const track = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    };
    server.on("connection", track).on("secureConnection", track);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response));
  }

  get origin(): string {
    return `${this.#scheme}://${this.host}`;
  }

  /** Bytes of all bodies sent. */
  get bytesSent(): number {
    return this.requests.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Serves an image, or an image index with its images, as `repository:tag` and by digest. Returns the reference. */
  push(repository: string, tag: string, image: TestImage | TestImageIndex): string {
    for (const blob of blobsOf(image)) this.pushBlob(repository, blob);
    this.#repository(repository).tags.set(tag, image.manifest.digest);
    return `${this.host}/${repository}:${tag}`;
  }

  /** Serves a single blob, or a manifest of any form. */
  pushBlob(repository: string, blob: TestBlob): void {
    this.#repository(repository).blobs.set(blob.digest, blob);
  }

  /** Adds faults for later requests, after those that have not happened yet. */
  misbehave(...faults: readonly Fault[]): void {
    this.#faults.add(faults);
  }

  /** Refuses all tokens issued so far. */
  revokeTokens(): void {
    this.#authorizer.revokeTokens();
  }

  /** The requests whose `METHOD /path` matches. */
  requestsTo(pattern: RegExp): readonly RecordedRequest[] {
    return this.requests.filter(({ method, path }) => pattern.test(`${method} ${path}`));
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #repository(name: string): Repository {
    const known = this.#repositories.get(name) ?? { blobs: new Map<string, TestBlob>(), tags: new Map<string, string>() };
    this.#repositories.set(name, known);
    return known;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const record: Mutable<RecordedRequest> = {
      method: request.method ?? "",
      path: request.url ?? "",
      httpVersion: request.httpVersion,
      headers: { ...request.headers },
      status: 0,
      bytes: 0,
    };
    this.requests.push(record);
    response.on("error", () => response.destroy());
    const action = this.#faults.take(record);
    if (action?.kind === "revoke-tokens") this.revokeTokens();
    try {
      const send = { request, response, record, action };
      if (action === undefined || !answerWithFault(send, action)) await this.#answer(send);
    } catch {
      // the client disconnected, or the content failed: break the connection
      response.destroy();
    }
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { request } = exchange;
    if (this.#upstream !== undefined) return forward(exchange, this.#upstream);
    const url = new URL(request.url ?? "/", this.origin);
    if (url.pathname === "/token") {
      const parameters = request.method === "POST" ? new URLSearchParams(await readText(request)) : url.searchParams;
      return sendJson(exchange, this.#authorizer.issue(request, parameters));
    }
    const [, name = "", kind = "", wanted = ""] = /^\/v2\/(.+)\/(manifests|blobs|tags)\/([^/]+)$/.exec(url.pathname) ?? [];
    const refused = this.#authorizer.check(request, name, this.origin);
    if (refused !== undefined) return sendJson(exchange, refused);
    if (url.pathname === "/v2/") return sendJson(exchange, { status: 200, json: {} });
    const repository = this.#repositories.get(name);
    if (repository === undefined) return sendJson(exchange, notFound("NAME_UNKNOWN"));
    if (kind === "tags") return sendJson(exchange, { status: 200, json: { name, tags: [...repository.tags.keys()].sort() } });
    const blob = repository.blobs.get(repository.tags.get(wanted) ?? wanted);
    if (kind === "manifests" && (blob === undefined || !isManifest(blob))) return sendJson(exchange, notFound("MANIFEST_UNKNOWN"));
    if (blob === undefined) return sendJson(exchange, notFound("BLOB_UNKNOWN"));
    return sendBlob(exchange, blob, kind === "manifests" ? blob.mediaType : "application/octet-stream");
  }
}

function isManifest(blob: TestBlob): boolean {
  return isManifestMediaType(blob.mediaType) || blob.mediaType.includes("manifest");
}

function notFound(code: string): AuthReply {
  return { status: 404, json: { errors: [{ code, message: "not known here" }] } };
}

async function readText(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}
