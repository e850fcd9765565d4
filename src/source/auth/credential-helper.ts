/** Docker's credential helpers: https://github.com/docker/docker-credential-helpers */
import { spawn } from "node:child_process";
import { isErrno, ShaleError } from "../../errors.ts";
import { JsonObject, parseJson } from "../../image/document.ts";
import { DOCKER_HUB_SERVER } from "./credential-file.ts";
import type { Credentials } from "./credentials.ts";

export interface HelperOptions {
  /** Milliseconds; default 30,000: some ask the user, or a cloud. */
  readonly timeout?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

const MAX_OUTPUT = 1024 * 1024;
/** What helpers print when they have nothing, with a status that says failure. */
const NOTHING = "credentials not found in native keychain";

/**
 * Runs `docker-credential-<name> get`. Nothing that the helper printed is ever shown: it may be the secret.
 *
 * @throws CREDENTIAL_HELPER_FAILED
 */
export async function askHelper(name: string, host: string, options: HelperOptions = {}): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  const fail = (problem: string): ShaleError =>
    new ShaleError("CREDENTIAL_HELPER_FAILED", `the credential helper "${program}" ${problem}; run it by hand, or pass credentials`, {
      helper: program,
    });
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) throw fail("has a malformed name");
  const server = host === "docker.io" ? DOCKER_HUB_SERVER : host;
  const { status, output } = await run(program, server, { timeout: 30_000, env: process.env, ...options }, fail);
  if (status !== 0 && output.toString().trim() === NOTHING) return undefined;
  if (status !== 0) throw fail(`failed with status ${status ?? "unknown"} for "${host}"`);
  const malformed = (): ShaleError => fail(`answered something else than credentials for "${host}"`);
  const fields = new JsonObject(parseJson(output, malformed), "answer", malformed);
  const [username, secret] = [fields.string("Username") ?? "", fields.string("Secret") ?? ""];
  if (secret === "") return undefined;
  return username === "<token>" ? { identityToken: secret } : { username, password: secret };
}

/** The group of the helper is ended with it: what it started would hold the pipe open. */
function run(
  program: string,
  input: string,
  { timeout, env }: Required<HelperOptions>,
  fail: (problem: string) => ShaleError,
): Promise<{ status: number | null; output: Buffer }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ["get"], { env, stdio: ["pipe", "pipe", "ignore"], detached: true });
    const chunks: Buffer[] = [];
    let size = 0;
    const giveUp = (problem: string): void => {
      clearTimeout(timer);
      child.stdout.destroy();
      if (child.pid !== undefined) endGroup(child.pid);
      reject(fail(problem));
    };
    const timer = setTimeout(() => giveUp(`did not answer within ${timeout} ms`), timeout);
    child.on("error", (error) => giveUp(isErrno(error, "ENOENT") ? "is not installed" : "cannot be run"));
    // a helper may end without reading what it is asked
    child.stdin.on("error", () => undefined);
    child.stdout.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_OUTPUT) giveUp("printed too much");
    });
    child.on("close", (status) => {
      clearTimeout(timer);
      resolve({ status, output: Buffer.concat(chunks) });
    });
    child.stdin.end(`${input}\n`);
  });
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}
