/** TLS settings of one origin. Connections are pooled by the identity of this object: create it once. */
export interface TlsSettings {
  /** Certificates of authorities (PEM) to trust in addition to Node's. */
  readonly ca: readonly string[];
  /** Client certificate chains with their keys (PEM); the server chooses one. */
  readonly clients: readonly { readonly cert: string; readonly key: string }[];
  /** False: accept any certificate. */
  readonly verify: boolean;
}

/** Settings for other origins that a host leads to: the same authorities, no client certificates, certificates verified. */
export function tlsForOtherOrigins(settings: TlsSettings): TlsSettings | undefined {
  return settings.ca.length === 0 ? undefined : { ca: settings.ca, clients: [], verify: true };
}

/** Undefined if all settings are the defaults. */
export function makeTls(settings: Partial<TlsSettings>): TlsSettings | undefined {
  const { ca = [], clients = [], verify = true } = settings;
  return ca.length === 0 && clients.length === 0 && verify ? undefined : { ca, clients, verify };
}
