/**
 * An OCI registry in this process: pull only, on 127.0.0.1, over plain HTTP or TLS. It records every request, and misbehaves on
 * demand; or it stands before another one and misbehaves in its place. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
 */
import { once } from "node:events";
import { createServer as createSecureServer } from "node:https";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createSecureServer as createHttp2Server, type Http2SecureServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { isManifestMediaType } from "../image/media-type.ts";
import { Doorkeeper, type AuthReply, type RegistryAuth } from "./auth.ts";
import type { TestBlob } from "./blob.ts";
import { answerWithFault, forward, sendBlob, sendJson, type Exchange, type Mutable } from "./exchange.ts";
import { FaultList, type Fault, type RecordedRequest } from "./faults.ts";
import { blobsOf, type TestImage, type TestImageIndex } from "./image.ts";

export interface RegistryOptions {
  readonly auth?: RegistryAuth;
  readonly faults?: readonly Fault[];
  /** Forward requests to this registry (`http://127.0.0.1:5000`), and its answers back: faults then befall a real one. */
  readonly upstream?: string;
  /** The loopback address to listen on; default 127.0.0.1. */
  readonly address?: string;
  /** Speak TLS. */
  readonly tls?: {
    /** PEM. */
    readonly key: string;
    readonly cert: string;
    /** Take only clients with a certificate of this authority. */
    readonly clientCa?: string;
    /** Speak HTTP/2 with those who offer it. Default false. */
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

/** Made by `startRegistry`. Stop it by `await using` or `close()`. */
export class TestRegistry {
  /** `127.0.0.1:PORT`: the registry part of a reference. */
  readonly host: string;
  /** In order of arrival. */
  readonly requests: RecordedRequest[] = [];
  readonly #server: AnyServer;
  readonly #sockets: Set<Socket> = new Set();
  readonly #repositories: Map<string, Repository> = new Map();
  readonly #faults: FaultList = new FaultList();
  readonly #doorkeeper: Doorkeeper;
  readonly #upstream: string | undefined;
  readonly #scheme: "http" | "https";

  constructor(server: AnyServer, options: RegistryOptions) {
    const { address, port } = server.address() as AddressInfo;
    this.host = `${address}:${port}`;
    this.#server = server;
    this.#scheme = options.tls === undefined ? "http" : "https";
    this.#doorkeeper = new Doorkeeper(options.auth);
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

  /** Makes an image, or an image index with its images, known as `repository:tag` (and by digest); returns the reference. */
  push(repository: string, tag: string, image: TestImage | TestImageIndex): string {
    for (const blob of blobsOf(image)) this.pushBlob(repository, blob);
    this.#repository(repository).tags.set(tag, image.manifest.digest);
    return `${this.host}/${repository}:${tag}`;
  }

  /** A single blob, or a manifest of any form. */
  pushBlob(repository: string, blob: TestBlob): void {
    this.#repository(repository).blobs.set(blob.digest, blob);
  }

  /** Faults for requests to come, behind those that are still waiting. */
  misbehave(...faults: readonly Fault[]): void {
    this.#faults.add(faults);
  }

  /** Every token handed out so far is refused from now on. */
  revokeTokens(): void {
    this.#doorkeeper.revokeTokens();
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
      // the client went away, or content failed: what it sees is a broken connection
      response.destroy();
    }
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { request } = exchange;
    if (this.#upstream !== undefined) return forward(exchange, this.#upstream);
    const url = new URL(request.url ?? "/", this.origin);
    if (url.pathname === "/token") {
      const parameters = request.method === "POST" ? new URLSearchParams(await readText(request)) : url.searchParams;
      return sendJson(exchange, this.#doorkeeper.issue(request, parameters));
    }
    const [, name = "", kind = "", wanted = ""] = /^\/v2\/(.+)\/(manifests|blobs|tags)\/([^/]+)$/.exec(url.pathname) ?? [];
    const refused = this.#doorkeeper.check(request, name, this.origin);
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
