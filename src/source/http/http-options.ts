import { isPrivateAddress } from "./private-address.ts";
import type { ProxyFor } from "./proxy.ts";

export interface HttpOptions {
  /** Milliseconds; default 30,000. */
  readonly connectTimeout?: number;
  /** Milliseconds from the request to the end of the response's headers; default 60,000. */
  readonly headersTimeout?: number;
  /** Milliseconds in which a body that is being read must bring 16 KiB; default 60,000. */
  readonly stallTimeout?: number;
  /** Concurrent connections to one origin; further requests wait. Default 8. */
  readonly connectionsPerHost?: number;
  /** Offer HTTP/2 to servers with TLS: one connection for all requests to a server. Default false. Never used through a proxy. */
  readonly http2?: boolean;
  /** True for addresses that a public host must not lead to; default: RFC 6890's and similar ones. */
  readonly isPrivate?: (address: string) => boolean;
  /** Default: no proxy. */
  readonly proxyFor?: ProxyFor;
  /** Sent with every request. */
  readonly userAgent?: string;
}

export const HTTP_DEFAULTS: Required<HttpOptions> = {
  connectTimeout: 30_000,
  headersTimeout: 60_000,
  stallTimeout: 60_000,
  connectionsPerHost: 8,
  http2: false,
  isPrivate: isPrivateAddress,
  proxyFor: () => undefined,
  userAgent: "shale",
};
