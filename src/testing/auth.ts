/** Authentication of the test registry: Basic, or tokens. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

export type RegistryAuth =
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  | {
      readonly kind: "token";
      /** Without these, anyone gets a token. */
      readonly username?: string;
      readonly password?: string;
      /** The refresh token that a POST must have; without it, POST gets a 404. */
      readonly identityToken?: string;
      /** Seconds, sent to the client. Tokens do not expire by themselves; see `revokeTokens`. */
      readonly expiresIn?: number;
      /** The URL of the token server; default: this registry's own /token. */
      readonly realm?: string;
    };

export interface AuthReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json: unknown;
}

export class TestAuthorizer {
  readonly #auth: RegistryAuth | undefined;
  readonly #tokens: Map<string, string> = new Map();

  constructor(auth: RegistryAuth | undefined) {
    this.#auth = auth;
  }

  revokeTokens(): void {
    this.#tokens.clear();
  }

  /** Undefined if the request is authorized. */
  check(request: IncomingMessage, repository: string, origin: string): AuthReply | undefined {
    const scope = `repository:${repository}:pull`;
    const { authorization } = request.headers;
    if (this.#auth === undefined) return undefined;
    if (this.#auth.kind === "basic") {
      return authorization === basic(this.#auth.username, this.#auth.password) ? undefined : unauthorized('Basic realm="test"');
    }
    if (authorization !== undefined && this.#tokens.get(authorization) === scope) return undefined;
    return unauthorized(`Bearer realm="${this.#auth.realm ?? `${origin}/token`}",service="test",scope="${scope}"`);
  }

  issue(request: IncomingMessage, parameters: URLSearchParams): AuthReply {
    const auth = this.#auth;
    if (auth?.kind !== "token") return { status: 404, json: {} };
    if (request.method === "POST") {
      if (auth.identityToken === undefined) return { status: 404, json: {} };
      if (parameters.get("refresh_token") !== auth.identityToken) return unauthorized('Basic realm="test"');
    } else if (auth.username !== undefined && request.headers.authorization !== basic(auth.username, auth.password ?? "")) {
      return unauthorized('Basic realm="test"');
    }
    const token = randomUUID();
    this.#tokens.set(`Bearer ${token}`, parameters.get("scope") ?? "");
    return { status: 200, json: { token, ...(auth.expiresIn !== undefined && { expires_in: auth.expiresIn }) } };
  }
}

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function unauthorized(challenge: string): AuthReply {
  return {
    status: 401,
    headers: { "www-authenticate": challenge },
    json: { errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] },
  };
}
