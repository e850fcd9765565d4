/** Debian's docker-registry on a free port of 127.0.0.1, with a storage directory of its own. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { run } from "./run.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** The one account of a registry that asks for a password. */
export const ACCOUNT = { username: "geologist", password: "layers" } as const;

// "layers" by bcrypt, the only form that docker-registry takes
const HTPASSWD = "geologist:$2b$04$/6B9ZA8wrU9YPNDa1ItZgu5mPR0CY/arYlOjOZIA/bpAu3GmnxdsW\n";

export interface DockerRegistryOptions {
  /** Asks for `ACCOUNT` by Basic authentication; default false: open to all. */
  readonly password?: boolean;
}

export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:<port>`, as it stands in a reference. Plain http. */
  readonly host: string;
  readonly password: boolean;
  /** The standard error of the registry so far: its access log. */
  readonly log: () => string;
}

/** Ready to serve when it resolves; ended, and its storage removed, when the scope ends. */
export async function startDockerRegistry({ password = false }: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const directory = await temporaryDirectory();
  const host = `127.0.0.1:${await freePort()}`;
  await writeFile(join(directory.path, "htpasswd"), HTPASSWD);
  await writeFile(join(directory.path, "config.yml"), configuration(directory.path, host, password));
  await mkdir(join(directory.path, "storage"));
  const child = spawn("docker-registry", ["serve", join(directory.path, "config.yml")], { stdio: ["ignore", "ignore", "pipe"] });
  const log: Buffer[] = [];
  child.stderr.on("data", (data: Buffer) => log.push(data));
  await untilServing(child, host, log);
  return {
    host,
    password,
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
function configuration(directory: string, host: string, password: boolean): string {
  const auth = { htpasswd: { realm: "tests", path: join(directory, "htpasswd") } };
  return JSON.stringify({
    version: 0.1,
    log: { level: "info", accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: join(directory, "storage") }, delete: { enabled: true } },
    http: { addr: host, secret: "tests" },
    ...(password ? { auth } : {}),
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function untilServing(child: ChildProcess, host: string, log: readonly Buffer[]): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await answers(host))) {
    const ended = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
    if (ended || Date.now() > deadline) {
      await end(child);
      throw new Error(`start docker-registry on ${host}: it does not answer; it said: ${Buffer.concat(log).toString().slice(0, 2000)}`);
    }
    await delay(50);
  }
}

/** Any answer to /v2/ will do: 401 is one. */
async function answers(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(`http://${host}/v2/`, { agent: false, timeout: 1000 }, (response) => {
      response.resume();
      resolve(true);
    });
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => resolve(false));
    asked.end();
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
