/** Redirects, by hand: credentials stay with the origin they were meant for. */
import { ShaleError } from "../../errors.ts";
import type { HttpClient, HttpRequest, HttpResponse } from "./http-client.ts";

const MAX_HOPS = 5;
const HARMLESS: ReadonlySet<string> = new Set(["accept", "accept-encoding", "range", "user-agent"]);
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Sends a GET or HEAD and follows at most five redirects. Crossing to another origin drops for good every header but those that
 * anyone may see; https never becomes http; a public host cannot lead to a private address, and who asks for public addresses
 * only gets no other on the way.
 *
 * @throws REGISTRY_ERROR for a redirect that is refused; what `send` throws
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
      publicOnly: request.publicOnly === true || (url.host !== first.host && !client.isInside(first.hostname)),
    };
  }
  throw refused(first, 310, `led through more than ${MAX_HOPS} redirects`);
}

function redirectTarget(response: HttpResponse): URL {
  const { status, url: from } = response;
  const location = response.header("location");
  const url = location === undefined ? null : URL.parse(location, from.href);
  if (url === null) throw refused(from, status, "sent a redirect without a usable Location");
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw refused(from, status, `sent a redirect to ${url.protocol} instead of https`);
  if (from.protocol === "https:" && url.protocol === "http:")
    throw refused(from, status, `sent a redirect from https to plain http on "${url.host}"`);
  url.username = "";
  url.password = "";
  return url;
}

/** A mirror's own headers may be as secret as Authorization. */
function withoutSecrets(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => HARMLESS.has(name)));
}

function refused({ host }: URL, status: number, problem: string): ShaleError<"REGISTRY_ERROR"> {
  return new ShaleError("REGISTRY_ERROR", `"${host}" ${problem}; refused`, { host, status });
}
