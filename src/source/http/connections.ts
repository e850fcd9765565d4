/** Connections and where they may lead: one pool for each way to connect, and a look at every address that is connected to. */
import { lookup, type LookupAddress } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import type { Dispatcher } from "undici";
import type { HttpOptions } from "./http-client.ts";
import { loadAgent } from "./undici-agent.ts";
import type { TlsSettings } from "./tls-settings.ts";

export interface Way {
  readonly tls: TlsSettings | undefined;
  /** Private addresses are refused. */
  readonly publicOnly: boolean;
  /** Milliseconds; default: the client's. */
  readonly connectTimeout?: number | undefined;
}

/**
 * All bodies of a host are on one connection then. Its window is that of all streams together, so that bodies whose readers
 * fell behind cannot keep another one waiting; more than a stream's window of each is never held here.
 */
const H2_STREAMS = 16;
const H2_WINDOW: number = 1024 * 1024;
const H2_OPTIONS = {
  maxConcurrentStreams: H2_STREAMS,
  connectionWindowSize: H2_STREAMS * H2_WINDOW,
  settings: { initialWindowSize: H2_WINDOW },
  // undici 8 documents the one above, and reads this one
  initialWindowSize: H2_WINDOW,
} as const;

export class Connections {
  readonly #options: Required<HttpOptions>;
  /** Host names whose every address was private when we connected to them. */
  readonly #inside: Set<string> = new Set();
  readonly #pools: Map<string, Promise<Dispatcher>> = new Map();
  readonly #tls: Map<TlsSettings, number> = new Map();

  constructor(options: Required<HttpOptions>) {
    this.#options = options;
  }

  isInside(hostname: string): boolean {
    return this.#inside.has(hostname) || this.#options.isPrivate(hostname);
  }

  /** By a proxy, addresses are looked up there and not here: only literal ones can be judged, and the caller has done so. */
  dispatcher(url: URL, way: Way): Promise<Dispatcher> {
    const proxy = this.#options.proxyFor(url);
    const key = JSON.stringify([proxy?.href, this.#numberOf(way.tls), way.publicOnly, way.connectTimeout]);
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const made = this.#make(way, proxy);
    this.#pools.set(key, made);
    return made;
  }

  async close(): Promise<void> {
    // one that could not be made is nothing to close
    const pools = await Promise.allSettled(this.#pools.values());
    await Promise.all(pools.map(async (pool) => pool.status === "fulfilled" && pool.value.destroy()));
  }

  async #make({ tls, publicOnly, connectTimeout }: Way, proxy: URL | undefined): Promise<Dispatcher> {
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

  /** Judges the very addresses that are connected to: a name that resolves anew in between cannot slip through. */
  #lookup(publicOnly: boolean): LookupFunction {
    return (hostname, options, callback) => {
      lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
        if (error !== null) return callback(error, "", 0);
        const isPrivate = addresses.map(({ address }) => this.#options.isPrivate(address));
        if (isPrivate.every(Boolean)) this.#inside.add(hostname);
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
    super(`${isIP(hostname.replace(/^\[|\]$/g, "")) === 0 ? `${hostname} leads to` : `${hostname} is`} a private address`);
  }
}

/** One context for all connections: reading the authorities anew for each costs more than the handshake. */
function secureOptions({ ca, clients, verify }: TlsSettings): { secureContext: SecureContext; rejectUnauthorized: boolean } {
  const context = createSecureContext({
    ...(ca.length > 0 && { ca: [...getCACertificates("default"), ...ca] }),
    cert: clients.map(({ cert }) => cert),
    key: clients.map(({ key }) => key),
  });
  return { secureContext: context, rejectUnauthorized: verify };
}
