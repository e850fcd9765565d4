/** What a registry knows us by. */
export interface Credentials {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** An OAuth 2 refresh token, as `docker login` keeps it for some registries; goes before the password. */
  readonly identityToken?: string | undefined;
  /** A bearer token for the registry itself, which no token server is asked for; goes before all others. */
  readonly registryToken?: string | undefined;
}

/**
 * `host` is a reference's registry (`docker.io`, `ghcr.io`, `localhost:5000`) or a configured mirror (`mirror.example.com`);
 * `repository` is below it. Asked when the host wants to know who we are, not before.
 */
export type CredentialsProvider = (host: string, repository: string) => Credentials | undefined | Promise<Credentials | undefined>;

export function basicAuthorization(credentials: Credentials | undefined): string | undefined {
  const secret = credentials?.password ?? credentials?.identityToken;
  if (secret === undefined) return undefined;
  return `Basic ${Buffer.from(`${credentials?.username ?? ""}:${secret}`).toString("base64")}`;
}

/** Registries whose token server is at home elsewhere. */
const PAIRS: ReadonlyMap<string, string> = new Map([["nvcr.io", "authn.nvidia.com"]]);

/**
 * May a registry send us, with our credentials, to this host for a token? To itself, to a parent or child of its name, to
 * a sibling (registry-1.docker.io and auth.docker.io), and to a known partner; never to a stranger.
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

/** Without a list of public suffixes: `co.uk` and the like are taken for one, so a site needs a label of its own. */
function isOwnable(site: string): boolean {
  const labels = site.split(".");
  if (labels.length > 2) return true;
  return labels.length === 2 && (labels[0]?.length ?? 0) > 3;
}
