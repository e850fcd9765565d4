/** Follows redirects, and sends credentials only to the origin that they are for. */
import { ShaleError } from "../../errors.ts";
import type { HttpClient, HttpRequest, HttpResponse } from "./http-client.ts";

const MAX_HOPS = 5;
const WITHOUT_SECRETS: ReadonlySet<string> = new Set(["accept", "accept-encoding", "range", "user-agent"]);
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a GET or HEAD request and follows up to five redirects. At the first change of origin all headers are dropped for good, except
 * those without secrets. A redirect from https to http is refused, and so is one from a public host, or of a request with `publicOnly`,
 * to a private address.
 *
 * @throws REGISTRY_ERROR for a refused redirect; what `send` throws
 */
export async function sendFollowing(client: HttpClient, request: HttpRequest): Promise<HttpResponse> {
  const first = request.url;
  let current = request;
  for (let hop = 0; hop <= MAX_HOPS; hop++) {
    const response = await client.send(current);
    if (!REDIRECTS.has(response.status)) return response;
    response.body.discard();
    const url = redirectTarget(response);
    current = {
      ...current,
      url,
      headers: url.origin === current.url.origin ? current.headers : withoutSecrets(current.headers),
      publicOnly: request.publicOnly === true || (url.host !== first.host && !client.isPrivateHost(first.hostname)),
    };
  }
  throw refused(first, 310, `sent more than ${MAX_HOPS} redirects`);
}

function redirectTarget(response: HttpResponse): URL {
  const { status, url: from } = response;
  const location = response.header("location");
  const url = location === undefined ? null : URL.parse(location, from.href);
  if (url === null) throw refused(from, status, "sent a redirect without a valid Location");
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw refused(from, status, `sent a redirect to ${url.protocol} instead of https`);
  if (from.protocol === "https:" && url.protocol === "http:")
    throw refused(from, status, `sent a redirect from https to plain http on "${url.host}"`);
  url.username = "";
  url.password = "";
  return url;
}

/** The headers that hosts.toml sets for a mirror may be as secret as Authorization. */
function withoutSecrets(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => WITHOUT_SECRETS.has(name)));
}

function refused({ host }: URL, status: number, problem: string): ShaleError<"REGISTRY_ERROR"> {
  return new ShaleError("REGISTRY_ERROR", `"${host}" ${problem}, which is refused; check the registry or the mirror`, { host, status });
}
