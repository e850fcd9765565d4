/** HTTP as the sources need it: undici, loaded at the first request, with timeouts and typed errors. */
import type { Dispatcher } from "undici";
import { isErrno, ShaleError } from "../../errors.ts";
import { isPrivateAddress } from "./private-address.ts";
import { Connections, PrivateAddressError } from "./connections.ts";
import type { ProxyFor } from "./proxy.ts";
import { ResponseBody } from "./response-body.ts";
import { Transient } from "./retry.ts";
import type { TlsSettings } from "./tls-settings.ts";

export interface HttpOptions {
  /** Milliseconds; default 30,000. */
  readonly connectTimeout?: number;
  /** Milliseconds from the request to the end of the response's headers; default 60,000. */
  readonly headersTimeout?: number;
  /** Milliseconds that a body may bring next to nothing while it is waited for; default 60,000. */
  readonly stallTimeout?: number;
  /** Connections to one origin at a time; requests beyond wait. Default 8. */
  readonly connectionsPerHost?: number;
  /** Offer HTTP/2 to servers with TLS, all requests to one on a single connection; default false. Never by a proxy. */
  readonly http2?: boolean;
  /** Which addresses are inside; default: those of RFC 6890 and its kin. */
  readonly isPrivate?: (address: string) => boolean;
  /** Default: no proxy. */
  readonly proxyFor?: ProxyFor;
  /** Sent with every request. */
  readonly userAgent?: string;
}

export interface HttpRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly method?: "GET" | "HEAD" | "POST";
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
  /** Refuse to connect to a private address. */
  readonly publicOnly?: boolean;
  /** What to trust of an origin, and what to show it; default: the authorities that Node trusts. */
  readonly tls?: ((url: URL) => TlsSettings | undefined) | undefined;
  /** Milliseconds, in place of the client's. */
  readonly connectTimeout?: number | undefined;
}

export interface HttpResponse {
  readonly url: URL;
  readonly status: number;
  /** The first of each name, by name in lower case. */
  header(name: string): string | undefined;
  headers(name: string): readonly string[];
  /** To be read or cancelled. */
  readonly body: ResponseBody;
}

const DEFAULTS: Required<HttpOptions> = {
  connectTimeout: 30_000,
  headersTimeout: 60_000,
  stallTimeout: 60_000,
  connectionsPerHost: 8,
  http2: false,
  isPrivate: isPrivateAddress,
  proxyFor: () => undefined,
  userAgent: "shale",
};

export class HttpClient {
  readonly #options: Required<HttpOptions>;
  readonly #connections: Connections;
  readonly #closing = new AbortController();

  constructor(options: HttpOptions = {}) {
    this.#options = { ...DEFAULTS, ...options };
    this.#connections = new Connections(this.#options);
  }

  /** For waits between requests that nobody's own signal ends. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** True when a host that we have connected to is a private one: it may point to its neighbours. */
  isInside(hostname: string): boolean {
    return this.#connections.isInside(hostname);
  }

  /**
   * One request, no redirects followed. Rejects with `signal.reason` when aborted.
   *
   * @throws REGISTRY_UNREACHABLE, inside a Transient when it may pass
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

/** One request and its response, as undici's handler. */
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

  /** Who asked waits for no connection to be made or to become free; a request that waits for one is ended when it gets it. */
  readonly #abort = (): void => {
    this.#head.reject(this.#request.signal?.reason);
    this.#controller?.abort(new Error("aborted"));
  };

  #unlisten(): void {
    this.#request.signal?.removeEventListener("abort", this.#abort);
  }
}

const PASSING: readonly string[] = [
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
  // HTTP/2: a connection that the server is leaving (GOAWAY), and a stream that it reset
  "UND_ERR_INFO",
  "ERR_HTTP2_ERROR",
  "ERR_HTTP2_GOAWAY_SESSION",
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_SESSION_ERROR",
  "ERR_HTTP2_STREAM_CANCEL",
  "ERR_HTTP2_STREAM_ERROR",
];

function unreachable(url: URL, cause: Error): ShaleError | Transient {
  const { host } = url;
  const message = `cannot reach "${host}": ${cause.message}${hintFor(cause)}`;
  const error = new ShaleError("REGISTRY_UNREACHABLE", message, { host }, { cause });
  return isErrno(cause, ...PASSING) ? new Transient(error) : error;
}

function hintFor(cause: Error): string {
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "EPROTO") return "; it may speak plain HTTP, which `plainHttp` allows";
  if (code === "ENOTFOUND") return "; check the name of the registry";
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(code))
    return "; if the certificate is right, make its authority known by `ca`, /etc/docker/certs.d, or NODE_EXTRA_CA_CERTS";
  return "";
}
