/** Pools of connections by route, and a check of every address before a connection is made. */
import { lookup, type LookupAddress } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import type { Dispatcher } from "undici";
import type { HttpOptions } from "./http-options.ts";
import { loadAgent } from "./undici-agent.ts";
import type { TlsSettings } from "./tls-settings.ts";

/** Connections to one origin are pooled by these settings. */
export interface Route {
  readonly tls: TlsSettings | undefined;
  /** Private addresses are refused. */
  readonly publicOnly: boolean;
  /** Milliseconds; default: the client's. */
  readonly connectTimeout?: number | undefined;
}

/**
 * With HTTP/2 all bodies of a host share one connection. Its window is the sum of the streams' windows, so that a body with a slow
 * reader cannot block others; no more than one stream's window of each body is buffered.
 */
const H2_STREAMS = 16;
const H2_WINDOW: number = 1024 * 1024;
const H2_OPTIONS = {
  maxConcurrentStreams: H2_STREAMS,
  connectionWindowSize: H2_STREAMS * H2_WINDOW,
  settings: { initialWindowSize: H2_WINDOW },
  // undici 8 documents `settings`, but reads this field
  initialWindowSize: H2_WINDOW,
} as const;

export class Connections {
  readonly #options: Required<HttpOptions>;
  /** Host names that had only private addresses when they were connected to. */
  readonly #privateHosts: Set<string> = new Set();
  readonly #pools: Map<string, Promise<Dispatcher>> = new Map();
  readonly #tls: Map<TlsSettings, number> = new Map();

  constructor(options: Required<HttpOptions>) {
    this.#options = options;
  }

  isPrivateHost(hostname: string): boolean {
    return this.#privateHosts.has(hostname) || this.#options.isPrivate(hostname);
  }

  /** A proxy resolves names itself: only literal addresses can be checked here, and the caller has checked them. */
  dispatcher(url: URL, route: Route): Promise<Dispatcher> {
    const proxy = this.#options.proxyFor(url);
    const key = JSON.stringify([proxy?.href, this.#numberOf(route.tls), route.publicOnly, route.connectTimeout]);
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const made = this.#make(route, proxy);
    this.#pools.set(key, made);
    return made;
  }

  async close(): Promise<void> {
    // a pool that could not be created needs no closing
    const pools = await Promise.allSettled(this.#pools.values());
    await Promise.all(pools.map(async (pool) => pool.status === "fulfilled" && pool.value.destroy()));
  }

  async #make({ tls, publicOnly, connectTimeout }: Route, proxy: URL | undefined): Promise<Dispatcher> {
    const connections = this.#options.connectionsPerHost;
    const timeout = connectTimeout ?? this.#options.connectTimeout;
    const secure = { timeout, ...(tls && secureOptions(tls)) };
    if (proxy === undefined) {
      const connect = { ...secure, preferH2: this.#options.http2, lookup: this.#lookup(publicOnly) };
      return new (loadAgent())({ connections, allowH2: this.#options.http2, h2Options: H2_OPTIONS, connect });
    }
    const { ProxyAgent } = await import("undici");
    return new ProxyAgent({
      uri: proxy.href,
      connections,
      connectTimeout: timeout,
      allowH2: false,
      requestTls: { ...secure, allowH2: false },
    });
  }

  #numberOf(tls: TlsSettings | undefined): number {
    if (tls === undefined) return 0;
    const number = this.#tls.get(tls) ?? this.#tls.size + 1;
    this.#tls.set(tls, number);
    return number;
  }

  /** Checks the addresses that are connected to, so that a name cannot resolve to another address after the check. */
  #lookup(publicOnly: boolean): LookupFunction {
    return (hostname, options, callback) => {
      lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
        if (error !== null) return callback(error, "", 0);
        const isPrivate = addresses.map(({ address }) => this.#options.isPrivate(address));
        if (isPrivate.every(Boolean)) this.#privateHosts.add(hostname);
        if (publicOnly && isPrivate.includes(true)) return callback(new PrivateAddressError(hostname), "", 0);
        const [first] = addresses;
        if (options.all === true || first === undefined) return callback(null, addresses);
        return callback(null, first.address, first.family);
      });
    };
  }
}

export class PrivateAddressError extends Error {
  readonly code = "EACCES";

  constructor(hostname: string) {
    super(`${isIP(hostname.replace(/^\[|\]$/g, "")) === 0 ? `${hostname} resolves to` : `${hostname} is`} a private address`);
  }
}

/** Creates one context for all connections of a pool: reading the authorities for each costs more than the handshake. */
function secureOptions({ ca, clients, verify }: TlsSettings): { secureContext: SecureContext; rejectUnauthorized: boolean } {
  const context = createSecureContext({
    ...(ca.length > 0 && { ca: [...getCACertificates("default"), ...ca] }),
    cert: clients.map(({ cert }) => cert),
    key: clients.map(({ key }) => key),
  });
  return { secureContext: context, rejectUnauthorized: verify };
}
