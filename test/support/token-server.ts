/** A token server as https://distribution.github.io/distribution/spec/auth/jwt/ describes it, for docker-registry. */
import { createPrivateKey, randomUUID, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { makeAuthority } from "./certificates.ts";

export interface TokenServer extends AsyncDisposable {
  /** What docker-registry is configured with. */
  readonly configuration: { readonly realm: string; readonly service: string; readonly issuer: string; readonly certificate: string };
  /** The scopes that tokens were asked for, in order. */
  readonly scopes: readonly string[];
}

export interface TokenServerOptions {
  readonly username: string;
  readonly password: string;
  /** Taken in place of name and password, by POST. */
  readonly identityToken?: string;
  /** Seconds that a token is good for, beside what is told; docker-registry allows for a minute more. Default 300. */
  readonly lifetime?: number;
}

const SERVICE = "shale-tests";
const ISSUER = "shale-token-server";

export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const { cert, key } = await makeAuthority("token server");
  const scopes: string[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const parameters = await readParameters(request);
      const known = mayHaveToken(request, parameters, options);
      const scope = parameters.get("scope") ?? "";
      scopes.push(scope);
      response.writeHead(known ? 200 : 401, { "content-type": "application/json" });
      response.end(
        JSON.stringify(known ? { access_token: issue(scope, { cert, key, lifetime: options.lifetime ?? 300 }), expires_in: 300 } : {}),
      );
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const realm = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  return {
    configuration: { realm, service: SERVICE, issuer: ISSUER, certificate: cert },
    scopes,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function mayHaveToken(request: IncomingMessage, parameters: URLSearchParams, options: TokenServerOptions): boolean {
  if (parameters.get("service") !== SERVICE) return false;
  if (request.method === "POST") return options.identityToken !== undefined && parameters.get("refresh_token") === options.identityToken;
  const basic = Buffer.from(`${options.username}:${options.password}`).toString("base64");
  return request.headers.authorization === `Basic ${basic}`;
}

/** RFC 7519, signed by ES256. */
function issue(scope: string, { cert, key, lifetime }: { cert: string; key: string; lifetime: number }): string {
  const [type = "", name = "", actions = ""] = scope.split(":");
  const now = Math.floor(Date.now() / 1000);
  const header = { typ: "JWT", alg: "ES256", x5c: [new X509Certificate(cert).raw.toString("base64")] };
  const access = [{ type, name, actions: actions.split(",") }];
  const times = { iat: now, nbf: now - 10, exp: now + lifetime };
  const claims = { iss: ISSUER, sub: "tester", aud: SERVICE, jti: randomUUID(), ...times, access };
  const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature = sign("sha256", Buffer.from(text), { key: createPrivateKey(key), dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}

async function readParameters(request: IncomingMessage): Promise<URLSearchParams> {
  if (request.method !== "POST") return new URL(request.url ?? "", "http://x").searchParams;
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return new URLSearchParams(Buffer.concat(parts).toString());
}
