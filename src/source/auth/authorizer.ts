/**
 * Authorizes requests to registries: Basic, and tokens (https://distribution.github.io/distribution/spec/auth/token/). Concurrent requests
 * to one repository share one token request.
 */
import { ShaleError } from "../../errors.ts";
import { JsonObject, parseJson, quote } from "../../image/document.ts";
import type { Challenge } from "./challenge.ts";
import { basicAuthorization, isSameSite, type Credentials } from "./credentials.ts";
import type { Host } from "../hosts/host.ts";
import type { HttpClient, HttpRequest, HttpResponse } from "../http/http-client.ts";
import { statusError } from "../http/status-error.ts";
import { retry, type RetryPolicy } from "../http/retry.ts";

/** Called once per token, or once per repository of a registry with Basic. */
export type CredentialsLookup = (host: Host, repository: string) => Credentials | undefined | Promise<Credentials | undefined>;

interface Grant {
  readonly header: string;
  /** Time on the clock of performance.now(). */
  readonly expires: number;
}

const MAX_TOKEN_BYTES = 1024 * 1024;
const MIN_LIFETIME_S = 60;
/** Statuses that mean that a token server does not support POST. */
const NO_OAUTH: ReadonlySet<number> = new Set([400, 401, 404, 405]);

export class Authorizer {
  readonly #client: HttpClient;
  readonly #credentials: CredentialsLookup;
  readonly #policy: RetryPolicy;
  readonly #grants: Map<string, Grant> = new Map();
  readonly #pending: Map<string, Promise<string>> = new Map();

  constructor(client: HttpClient, credentials: CredentialsLookup, policy: RetryPolicy) {
    this.#client = client;
    this.#credentials = credentials;
    this.#policy = policy;
  }

  /** The last Authorization header; undefined if there is none, or it has expired. */
  current(endpoint: Host, repository: string): string | undefined {
    const grant = this.#grants.get(keyOf(endpoint, repository));
    return grant !== undefined && performance.now() < grant.expires ? grant.header : undefined;
  }

  /**
   * Answers the challenges of a 401. `rejected` is the header that was refused; if another request has replaced it already, the new
   * header is returned. A failure is not cached.
   *
   * @throws REGISTRY_UNAUTHORIZED if no challenge can be answered; what token requests and the credentials provider throw
   */
  async renew(
    endpoint: Host,
    repository: string,
    failed: { challenges: readonly Challenge[]; rejected: string | undefined },
  ): Promise<string> {
    const key = keyOf(endpoint, repository);
    const current = this.current(endpoint, repository);
    if (current !== undefined && current !== failed.rejected) return current;
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    this.#grants.delete(key);
    const request = this.#obtain(endpoint, repository, failed.challenges).finally(() => this.#pending.delete(key));
    this.#pending.set(key, request);
    return request;
  }

  async #obtain(endpoint: Host, repository: string, challenges: readonly Challenge[]): Promise<string> {
    const credentials = await this.#credentials(endpoint, repository);
    const bearers = challenges.filter(({ scheme }) => scheme === "bearer");
    const basic = challenges.find(({ scheme }) => scheme === "basic");
    const bearer = bearers.find(({ parameters }) => parameters.has("realm")) ?? (basic === undefined ? bearers[0] : undefined);
    const ready = bearers.length > 0 ? credentials?.registryToken : undefined;
    if (ready === undefined && bearer !== undefined) return this.#token(endpoint, { repository, challenge: bearer, credentials });
    const header = ready === undefined ? basic && basicAuthorization(credentials) : `Bearer ${ready}`;
    if (header === undefined) {
      throw unauthorized(
        endpoint,
        basic === undefined
          ? "asks for an unsupported kind of authentication"
          : "asks for credentials, and none are configured for it; log in, or pass credentials",
      );
    }
    this.#grants.set(keyOf(endpoint, repository), { header, expires: Number.POSITIVE_INFINITY });
    return header;
  }

  async #token(endpoint: Host, wish: { repository: string; challenge: Challenge; credentials: Credentials | undefined }): Promise<string> {
    const realm = checkRealm(endpoint, wish.challenge.parameters.get("realm"));
    const credentials = isSameSite(endpoint.base.hostname, realm.hostname) ? wish.credentials : undefined;
    const service = wish.challenge.parameters.get("service");
    const question = new URLSearchParams({ ...(service !== undefined && { service }), scope: `repository:${wish.repository}:pull` });
    const attempt = async (): ReturnType<typeof readToken> => {
      const response = await this.#requestToken(endpoint, realm, { question, credentials });
      if (response.status !== 200) throw await tokenError(endpoint, response);
      return readToken(endpoint, response);
    };
    const token = await retry([{ host: realm.host, attempt }], { policy: this.#policy, signal: this.#client.closing });
    const header = `Bearer ${token.value}`;
    this.#grants.set(keyOf(endpoint, wish.repository), { header, expires: performance.now() + token.lifetime * 1000 });
    return header;
  }

  /** Uses the refresh token if there is one. Without it, or if the server does not support it, sends a GET. */
  async #requestToken(
    endpoint: Host,
    realm: URL,
    how: { question: URLSearchParams; credentials: Credentials | undefined },
  ): Promise<HttpResponse> {
    const publicOnly = realm.host !== endpoint.base.host && !this.#client.isPrivateHost(endpoint.base.hostname);
    const send = (request: HttpRequest): Promise<HttpResponse> => this.#client.send({ ...request, publicOnly, tls: endpoint.tls });
    if (how.credentials?.identityToken !== undefined) {
      const form = new URLSearchParams(how.question);
      form.set("grant_type", "refresh_token");
      form.set("refresh_token", how.credentials.identityToken);
      form.set("client_id", "shale");
      const headers = { "content-type": "application/x-www-form-urlencoded", accept: "application/json" };
      const response = await send({ url: realm, method: "POST", headers, body: form.toString() });
      if (!NO_OAUTH.has(response.status)) return response;
      response.body.discard();
    }
    const url = new URL(realm);
    for (const [name, value] of how.question) url.searchParams.set(name, value);
    const authorization = basicAuthorization(how.credentials);
    return send({ url, headers: { accept: "application/json", ...(authorization !== undefined && { authorization }) } });
  }
}

/** The token server must use https, unless the registry itself uses plain HTTP, and its URL must contain no credentials. */
function checkRealm(endpoint: Host, text: string | undefined): URL {
  const realm = text === undefined ? null : URL.parse(text);
  if (realm === null) throw unauthorized(endpoint, "names no token server in its challenge");
  const plain = realm.protocol === "http:" && endpoint.base.protocol === "http:";
  if ((realm.protocol !== "https:" && !plain) || realm.username !== "" || realm.password !== "") {
    throw unauthorized(endpoint, `names the token server ${quote(text ?? "")}, which is not an https URL without credentials`);
  }
  realm.hash = "";
  return realm;
}

async function readToken(endpoint: Host, response: HttpResponse): Promise<{ value: string; lifetime: number }> {
  const fail = (problem: string, cause?: unknown): ShaleError => unauthorized(endpoint, `sent no usable token: ${problem}`, cause);
  const body = await response.body.readAll(MAX_TOKEN_BYTES);
  if (body === undefined) throw fail("the response is too long");
  const fields = new JsonObject(parseJson(body, fail), "answer", fail);
  const value = [fields.string("token"), fields.string("access_token")].find((token) => token !== undefined && token !== "");
  if (value === undefined || !/^[\x21-\x7e]+$/.test(value)) throw fail("the response has neither a token nor an access_token");
  const seconds = fields.get("expires_in");
  return { value, lifetime: typeof seconds === "number" ? Math.max(seconds, MIN_LIFETIME_S) : MIN_LIFETIME_S };
}

async function tokenError(endpoint: Host, response: HttpResponse): Promise<Error> {
  const error = await statusError(response, {
    what: "a token",
    notFound: () => unauthorized(endpoint, "names a token server that answers 404"),
  });
  return response.status < 400 ? unauthorized(endpoint, "has a token server that redirects, which is refused") : error;
}

function unauthorized(endpoint: Host, problem: string, cause?: unknown): ShaleError<"REGISTRY_UNAUTHORIZED"> {
  const message = `cannot authenticate: registry "${endpoint.name}" ${problem}`;
  return new ShaleError("REGISTRY_UNAUTHORIZED", message, { host: endpoint.name }, cause === undefined ? undefined : { cause });
}

function keyOf(endpoint: Host, repository: string): string {
  return `${endpoint.base.origin} ${endpoint.name} ${repository}`;
}
