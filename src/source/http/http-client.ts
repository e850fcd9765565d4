/** HTTP requests by undici, which is loaded at the first request, with timeouts and typed errors. */
import type { Dispatcher } from "undici";
import { isErrno, ShaleError } from "../../errors.ts";
import { Connections, PrivateAddressError } from "./connections.ts";
import { HTTP_DEFAULTS, type HttpOptions } from "./http-options.ts";
import { ResponseBody } from "./response-body.ts";
import { TransientError } from "./retry.ts";
import type { TlsSettings } from "./tls-settings.ts";

export interface HttpRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly method?: "GET" | "HEAD" | "POST";
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
  /** Refuses to connect to a private address. */
  readonly publicOnly?: boolean;
  /** TLS settings by origin; default: only the authorities that Node trusts. */
  readonly tls?: ((url: URL) => TlsSettings | undefined) | undefined;
  /** Milliseconds; default: the client's. */
  readonly connectTimeout?: number | undefined;
}

export interface HttpResponse {
  readonly url: URL;
  readonly status: number;
  /** The first header of a name, which is in lower case. */
  header(name: string): string | undefined;
  headers(name: string): readonly string[];
  /** The caller must read, discard or cancel it. */
  readonly body: ResponseBody;
}

export class HttpClient {
  readonly #options: Required<HttpOptions>;
  readonly #connections: Connections;
  readonly #closing = new AbortController();

  constructor(options: HttpOptions = {}) {
    this.#options = { ...HTTP_DEFAULTS, ...options };
    this.#connections = new Connections(this.#options);
  }

  /** Aborts at `close`: for waits between requests that have no signal of their own. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** True if a host that was connected to has only private addresses: it may redirect to other private addresses. */
  isPrivateHost(hostname: string): boolean {
    return this.#connections.isPrivateHost(hostname);
  }

  /**
   * Sends one request, without following redirects. Rejects with `signal.reason` when aborted.
   *
   * @throws REGISTRY_UNREACHABLE, in a TransientError if another attempt may succeed
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const { url, signal, publicOnly = false, connectTimeout } = request;
    this.closing.throwIfAborted();
    if (publicOnly && this.#options.isPrivate(url.hostname)) throw unreachable(url, new PrivateAddressError(url.hostname));
    const dispatcher = await this.#connections.dispatcher(url, { tls: request.tls?.(url), publicOnly, connectTimeout });
    signal?.throwIfAborted();
    const exchange = new Exchange(request, this.#options.stallTimeout);
    const { method = "GET", body } = request;
    const headers = { "user-agent": this.#options.userAgent, ...request.headers };
    const timeouts = { headersTimeout: this.#options.headersTimeout, bodyTimeout: this.#options.stallTimeout };
    const target = { origin: url.origin, path: `${url.pathname}${url.search}`, method, headers, body: body ?? null };
    dispatcher.dispatch({ ...target, ...timeouts }, exchange);
    return exchange.response;
  }

  async close(): Promise<void> {
    this.#closing.abort(new TypeError("the source is closed"));
    await this.#connections.close();
  }
}

/** One request and its response, as a handler of undici. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: HttpRequest;
  readonly #stallTimeout: number;
  readonly #head: PromiseWithResolvers<HttpResponse> = Promise.withResolvers();
  /** Undefined while the request waits for a connection. */
  #controller: Dispatcher.DispatchController | undefined;
  #body: ResponseBody | undefined;

  constructor(request: HttpRequest, stallTimeout: number) {
    this.#request = request;
    this.#stallTimeout = stallTimeout;
    request.signal?.addEventListener("abort", this.#abort, { once: true });
  }

  get response(): Promise<HttpResponse> {
    return this.#head.promise;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#request.signal?.aborted === true) this.#abort();
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (status < 200) return;
    const all = (name: string): readonly string[] => [headers[name] ?? []].flat();
    this.#body = new ResponseBody(controller, this.#stallTimeout);
    this.#head.resolve({ url: this.#request.url, status, headers: all, header: (name) => all(name)[0], body: this.#body });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#body?.push(chunk);
  }

  onResponseEnd(): void {
    this.#unlisten();
    this.#body?.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#unlisten();
    const { signal, url } = this.#request;
    const aborted = signal?.aborted === true;
    const reason: unknown = aborted ? signal.reason : unreachable(url, error);
    this.#head.reject(reason);
    if (aborted) this.#body?.cancel(reason);
    else this.#body?.end(reason);
  }

  /** Rejects at once, even while the request waits for a connection; such a request is aborted when it gets one. */
  readonly #abort = (): void => {
    this.#head.reject(this.#request.signal?.reason);
    this.#controller?.abort(new Error("aborted"));
  };

  #unlisten(): void {
    this.#request.signal?.removeEventListener("abort", this.#abort);
  }
}

/** Codes of failures that another attempt may not have. */
const TRANSIENT: readonly string[] = [
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENETDOWN",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_SOCKET",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  // HTTP/2: the server closes the connection (GOAWAY), or reset the stream
  "UND_ERR_INFO",
  "ERR_HTTP2_ERROR",
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_SESSION_ERROR",
  "ERR_HTTP2_STREAM_CANCEL",
  "ERR_HTTP2_STREAM_ERROR",
];

function unreachable(url: URL, cause: Error): ShaleError | TransientError {
  const { host } = url;
  const message = `"${host}" cannot be reached (${cause.message})${adviceFor(cause)}`;
  const error = new ShaleError("REGISTRY_UNREACHABLE", message, { host }, { cause });
  return isErrno(cause, ...TRANSIENT) ? new TransientError(error) : error;
}

function adviceFor(cause: Error): string {
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "EPROTO") return "; if it uses plain HTTP, allow that with `plainHttp`";
  if (code === "ENOTFOUND") return "; check the name of the registry";
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(code))
    return "; if you trust its certificate, name the authority with `ca`, in /etc/docker/certs.d, or in NODE_EXTRA_CA_CERTS";
  return "; check the network and the registry, then try again";
}
