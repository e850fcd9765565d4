/** Credentials for a registry. */
export interface Credentials {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** An OAuth 2 refresh token, as `docker login` stores it for some registries; takes precedence over the password. */
  readonly identityToken?: string | undefined;
  /** A bearer token for the registry itself, used without a token server; takes precedence over all others. */
  readonly registryToken?: string | undefined;
}

/**
 * Returns the credentials for `host`, which is a reference's registry (`docker.io`, `ghcr.io`, `localhost:5000`) or a configured mirror
 * (`mirror.example.com`). Called only when the host asks for authentication. An exception or rejection fails the request with that error.
 */
export type CredentialsProvider = (host: string, repository: string) => Credentials | undefined | Promise<Credentials | undefined>;

export function basicAuthorization(credentials: Credentials | undefined): string | undefined {
  const secret = credentials?.password ?? credentials?.identityToken;
  if (secret === undefined) return undefined;
  return `Basic ${Buffer.from(`${credentials?.username ?? ""}:${secret}`).toString("base64")}`;
}

/** Registries with a known token server on another site. */
const PAIRS: ReadonlyMap<string, string> = new Map([["nvcr.io", "authn.nvidia.com"]]);

/**
 * True if the credentials for a registry may be sent to this token server: the registry itself, a parent, child or sibling of its name
 * (registry-1.docker.io and auth.docker.io), or a known pair.
 */
export function isSameSite(registry: string, tokenHost: string): boolean {
  if (registry === tokenHost || PAIRS.get(registry) === tokenHost) return true;
  if (/^[0-9.]+$|^\[/.test(registry) || /^[0-9.]+$|^\[/.test(tokenHost)) return false;
  const sites = [registry, parentOf(registry)].filter(isOwnable);
  return sites.some((site) => tokenHost === site || tokenHost.endsWith(`.${site}`));
}

function parentOf(host: string): string {
  return host.slice(host.indexOf(".") + 1);
}

/** False for a public suffix. Guesses without a list: two labels of which the first is short, such as `co.uk`, are a suffix. */
function isOwnable(site: string): boolean {
  const labels = site.split(".");
  if (labels.length > 2) return true;
  return labels.length === 2 && (labels[0]?.length ?? 0) > 3;
}
