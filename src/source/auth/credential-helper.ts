/** Runs Docker's credential helpers: https://github.com/docker/docker-credential-helpers */
import { spawn } from "node:child_process";
import { isErrno, ShaleError } from "../../errors.ts";
import { JsonObject, parseJson } from "../../image/document.ts";
import { DOCKER_HUB_SERVER } from "./credential-file.ts";
import type { Credentials } from "./credentials.ts";

export interface HelperOptions {
  /** Milliseconds; default 30,000, because some helpers ask the user or a cloud service. */
  readonly timeout?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

const MAX_OUTPUT = 1024 * 1024;
/** The output of a helper without credentials for the registry; its exit status is that of a failure. */
const NOTHING = "credentials not found in native keychain";

/**
 * Runs `docker-credential-<name> get`. Its output never appears in an error, because it may contain the secret.
 *
 * @throws CREDENTIAL_HELPER_FAILED
 */
export async function askHelper(name: string, host: string, options: HelperOptions = {}): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  const fail = (problem: string): ShaleError =>
    new ShaleError(
      "CREDENTIAL_HELPER_FAILED",
      `the credential helper "${program}" ${problem}; run it by hand to see why, or pass credentials`,
      {
        helper: program,
      },
    );
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) throw fail("has an invalid name");
  const server = host === "docker.io" ? DOCKER_HUB_SERVER : host;
  const { status, output } = await run(program, server, { timeout: 30_000, env: process.env, ...options }, fail);
  if (status !== 0 && output.toString().trim() === NOTHING) return undefined;
  if (status !== 0) throw fail(`failed for "${host}" with exit status ${status ?? "unknown"}`);
  const malformed = (): ShaleError => fail(`did not print credentials for "${host}" in the expected form`);
  const fields = new JsonObject(parseJson(output, malformed), "answer", malformed);
  const [username, secret] = [fields.string("Username") ?? "", fields.string("Secret") ?? ""];
  if (secret === "") return undefined;
  return username === "<token>" ? { identityToken: secret } : { username, password: secret };
}

/** On failure kills the helper's process group: its children would keep the pipe open. */
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
    const timer = setTimeout(() => giveUp(`did not finish within ${timeout} ms`), timeout);
    child.on("error", (error) => giveUp(isErrno(error, "ENOENT") ? "is not installed" : "cannot be started"));
    // a helper may exit without reading its input
    child.stdin.on("error", () => undefined);
    child.stdout.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_OUTPUT) giveUp(`printed more than ${MAX_OUTPUT} bytes`);
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
