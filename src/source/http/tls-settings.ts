/** What is trusted of one origin beyond what Node trusts, and what we show it. Compared by identity: make it once. */
export interface TlsSettings {
  /** Certificates of authorities (PEM), beside those that Node trusts. */
  readonly ca: readonly string[];
  /** Certificate chains with their keys (PEM), of which the server chooses. */
  readonly clients: readonly { readonly cert: string; readonly key: string }[];
  /** False: any certificate will do. */
  readonly verify: boolean;
}

/** For origins that a host leads to: the authorities hold there too, who we are is not told, and certificates are checked. */
export function abroad(settings: TlsSettings): TlsSettings | undefined {
  return settings.ca.length === 0 ? undefined : { ca: settings.ca, clients: [], verify: true };
}

/** Undefined when there is nothing to set. */
export function makeTls(settings: Partial<TlsSettings>): TlsSettings | undefined {
  const { ca = [], clients = [], verify = true } = settings;
  return ca.length === 0 && clients.length === 0 && verify ? undefined : { ca, clients, verify };
}
