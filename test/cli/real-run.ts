/** Commands in this process, over the real API and a store in a temporary directory. */
import type { Context } from "../../src/cli/command.ts";
import { run } from "../../src/cli/run.ts";
import * as api from "../../src/index.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";
import { keep } from "./fake-context.ts";

export interface Ran {
  readonly exitCode: number;
  /** Bytes as characters. */
  readonly stdout: string;
  readonly stderr: string;
}

export interface RealOptions {
  /** Of standard output. */
  readonly terminal?: { readonly columns: number; readonly rows: number };
  readonly env?: Record<string, string>;
  readonly signal?: AbortSignal;
  readonly now?: number;
}

/** Commands go to this store unless they name another. */
export class RealStore {
  readonly harness: StoreHarness;

  constructor(harness: StoreHarness) {
    this.harness = harness;
  }

  async run(argv: readonly string[], options: RealOptions = {}): Promise<Ran> {
    const stdout = keep(options.terminal);
    const stderr = keep();
    const { now } = options;
    const context: Context = {
      stdout,
      stderr,
      env: { SHALE_STORE: this.harness.path, ...options.env },
      version: "1.2.3",
      signal: options.signal ?? new AbortController().signal,
      loadApi: () => Promise.resolve(api),
      loadBoot: () => Promise.resolve(api),
      ...(now !== undefined && { now: () => now }),
    };
    const exitCode = await run(argv, context);
    return { exitCode, stdout: stdout.text(), stderr: stderr.text() };
  }

  /** What a command prints with --json. */
  async json<T>(...argv: readonly string[]): Promise<T> {
    const { exitCode, stdout, stderr } = await this.run([...argv, "--json"]);
    if (exitCode !== 0) throw new Error(`shale ${argv.join(" ")} ended with ${exitCode}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** The code of the error, from its JSON line, and the exit code. */
  async failure(...argv: readonly string[]): Promise<readonly [code: string, exitCode: number]> {
    const { exitCode, stderr } = await this.run([...argv, "--json"]);
    const [line = "{}"] = stderr.split("\n").filter((text) => text.startsWith('{"error"'));
    return [(JSON.parse(line) as { error: { code: string } }).error.code, exitCode];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.harness[Symbol.asyncDispose]();
  }
}

export async function startRealStore(): Promise<RealStore> {
  return new RealStore(await startStore());
}
