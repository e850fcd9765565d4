/** Debian's docker-registry on a free port of 127.0.0.1, with a storage directory of its own. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as secureRequest } from "node:https";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Certificate } from "./certificates.ts";
import { run } from "./run.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** The one account of a registry that asks for a password. */
export const ACCOUNT = { username: "geologist", password: "layers" } as const;

// "layers" by bcrypt, the only form that docker-registry takes
const HTPASSWD = "geologist:$2b$04$/6B9ZA8wrU9YPNDa1ItZgu5mPR0CY/arYlOjOZIA/bpAu3GmnxdsW\n";

export interface DockerRegistryOptions {
  /** Asks for `ACCOUNT` by Basic authentication; default false: open to all. */
  readonly password?: boolean;
  /** Speaks TLS. */
  readonly tls?: Certificate;
  /** Asks for tokens of this server. */
  readonly token?: { readonly realm: string; readonly service: string; readonly issuer: string; readonly certificate: string };
  /** Fetches from there what it does not have, and keeps it. */
  readonly mirrorOf?: string;
  /** Serves what is here, and leaves it; default: a directory of its own. */
  readonly storage?: string;
}

export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:<port>`, as it stands in a reference. Plain http. */
  readonly host: string;
  readonly password: boolean;
  readonly storage: string;
  readonly pid: number;
  /** The standard error of the registry so far: its access log. */
  readonly log: () => string;
}

/** Ready to serve when it resolves; ended, and its storage removed, when the scope ends. */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const { password = false } = options;
  const directory = await temporaryDirectory();
  const host = `127.0.0.1:${await freePort()}`;
  await writeFile(join(directory.path, "htpasswd"), HTPASSWD);
  const storage = options.storage ?? join(directory.path, "storage");
  await mkdir(storage, { recursive: true });
  await writeFile(join(directory.path, "cert.pem"), options.tls?.cert ?? "");
  await writeFile(join(directory.path, "key.pem"), options.tls?.key ?? "");
  await writeFile(join(directory.path, "token.pem"), options.token?.certificate ?? "");
  await writeFile(join(directory.path, "config.yml"), configuration(directory.path, { ...options, host, storage }));
  const child = spawn("docker-registry", ["serve", join(directory.path, "config.yml")], { stdio: ["ignore", "ignore", "pipe"] });
  const log: Buffer[] = [];
  child.stderr.on("data", (data: Buffer) => log.push(data));
  await untilServing(child, { host, secure: options.tls !== undefined }, log);
  return {
    host,
    password,
    storage,
    pid: child.pid!,
    log: () => Buffer.concat(log).toString(),
    [Symbol.asyncDispose]: async () => {
      await end(child);
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Copies an image of an OCI layout to the registry as it is, and returns its reference there. */
export async function pushLayout(
  layout: { readonly directory: string; readonly tag: string },
  registry: DockerRegistry,
  name: { readonly repository: string; readonly tag: string },
  options: { readonly extraArguments?: readonly string[] } = {},
): Promise<string> {
  const reference = `${registry.host}/${name.repository}:${name.tag}`;
  const credentials = registry.password ? [`--dest-creds=${ACCOUNT.username}:${ACCOUNT.password}`] : [];
  const from = `oci:${layout.directory}:${layout.tag}`;
  const args = ["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", ...credentials, ...(options.extraArguments ?? [])];
  await run("skopeo", [...args, from, `docker://${reference}`]);
  return reference;
}

/** JSON is YAML. */
function configuration(
  directory: string,
  { host, storage, password, tls, token, mirrorOf }: DockerRegistryOptions & { readonly host: string; readonly storage: string },
): string {
  const file = (name: string): string => join(directory, name);
  const { certificate: _, ...issuer } = token ?? {};
  const auth = token
    ? { token: { ...issuer, rootcertbundle: file("token.pem") } }
    : { htpasswd: { realm: "tests", path: file("htpasswd") } };
  return JSON.stringify({
    version: 0.1,
    log: { level: "info", accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: { addr: host, secret: "tests", ...(tls && { tls: { certificate: file("cert.pem"), key: file("key.pem") } }) },
    ...((password === true || token) && { auth }),
    ...(mirrorOf !== undefined && { proxy: { remoteurl: mirrorOf } }),
  });
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function untilServing(
  child: ChildProcess,
  { host, secure }: { host: string; secure: boolean },
  log: readonly Buffer[],
): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await answers(`${secure ? "https" : "http"}://${host}/v2/`))) {
    const ended = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
    if (ended || Date.now() > deadline) {
      await end(child);
      throw new Error(`start docker-registry on ${host}: it does not answer; it said: ${Buffer.concat(log).toString().slice(0, 2000)}`);
    }
    await delay(50);
  }
}

/** Any answer will do: 401 is one. */
export async function answers(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const answered = (response: IncomingMessage): void => {
      response.resume();
      resolve(true);
    };
    const options = { agent: false, timeout: 1000 } as const;
    const asked = url.startsWith("https:")
      ? secureRequest(url, { ...options, rejectUnauthorized: false }, answered)
      : request(url, options, answered);
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => resolve(false));
    asked.end();
  });
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
