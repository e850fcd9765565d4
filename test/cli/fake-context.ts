/** A Context for commands without a process: it keeps the output, and its API records the calls. */
import type { Api, Context, Output } from "../../src/cli/command.ts";
import { run } from "../../src/cli/run.ts";
import type { Image, ProgressEvent, PullOptions, PullStats, RegistryOptions, StoreOptions } from "../../src/index.ts";

export interface FakeImage {
  readonly reference: string;
  readonly manifestDigest: string;
  readonly config: unknown;
  readonly layers: readonly string[];
  readonly cached: boolean;
  readonly stats: PullStats;
}

export const IMAGE: FakeImage = {
  reference: "docker.io/library/alpine:3.20",
  manifestDigest: `sha256:${"a".repeat(64)}`,
  config: { entrypoint: ["/bin/sh"], labels: { note: "\u001b[31m\u202e" } },
  layers: ["/store/trees/aaaa", "/store/trees/bbbb"],
  cached: false,
  stats: { downloadedBytes: 3_400_000, resumedBytes: 0, ingestedLayers: 2, newChunks: 1, newChunkBytes: 7_800_000, durationMs: 640 },
};

export interface FakeOptions {
  readonly image?: Partial<FakeImage>;
  readonly events?: readonly ProgressEvent[];
  /** What pull throws, after the events. */
  readonly failure?: Error;
  readonly env?: Record<string, string>;
  readonly terminal?: { readonly columns: number; readonly rows: number };
  readonly signal?: AbortSignal;
}

export interface FakeRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Calls of the API in order; `closed` when the store, registry or image is. */
  readonly calls: readonly string[];
  readonly store: { readonly path?: string; readonly options?: StoreOptions };
  readonly registry: Partial<RegistryOptions>;
  readonly pull: { readonly reference?: string; readonly options?: PullOptions };
}

export async function runFake(argv: readonly string[], options: FakeOptions = {}): Promise<FakeRun> {
  const calls: string[] = [];
  const seen: { store: FakeRun["store"]; registry: FakeRun["registry"]; pull: FakeRun["pull"] } = { store: {}, registry: {}, pull: {} };
  const stdout = keep();
  const stderr = keep(options.terminal);
  const api = fakeApi(options, { calls, seen });
  const context: Context = {
    stdout,
    stderr,
    env: options.env ?? {},
    version: "1.2.3",
    signal: options.signal ?? new AbortController().signal,
    loadApi: () => Promise.resolve(api),
    loadBoot: () => Promise.resolve(api),
  };
  const exitCode = await run(argv, context);
  return { exitCode, stdout: stdout.text(), stderr: stderr.text(), calls, ...seen };
}

interface Seen {
  readonly calls: string[];
  readonly seen: { store: FakeRun["store"]; registry: FakeRun["registry"]; pull: FakeRun["pull"] };
}

function fakeApi({ image, events = [], failure }: FakeOptions, { calls, seen }: Seen): Api {
  const closing = (what: string) => ({
    [Symbol.asyncDispose]: async (): Promise<void> => {
      calls.push(`${what} closed`);
    },
  });
  class FakeRegistry {
    constructor(options: RegistryOptions) {
      seen.registry = options;
    }
    async pull(reference: string, options: PullOptions): Promise<Image> {
      calls.push("pull");
      seen.pull = { reference, options };
      for (const event of events) options.onProgress?.(event);
      if (failure !== undefined) throw failure;
      return { ...IMAGE, ...image, ...closing("image") } as unknown as Image;
    }
    async [Symbol.asyncDispose](): Promise<void> {
      calls.push("registry closed");
    }
  }
  const openStore = async (path: string, options: StoreOptions): Promise<unknown> => {
    calls.push("openStore");
    seen.store = { path, options };
    return {
      lease: async (name: string, _image: Image, given: { readonly ttlMs?: number }): Promise<void> => {
        calls.push(`lease ${name} ${given.ttlMs ?? "for ever"}`);
      },
      pin: async (reference: string): Promise<void> => {
        calls.push(`pin ${reference}`);
      },
      ...closing("store"),
    };
  };
  return { openStore, Registry: FakeRegistry } as unknown as Api;
}

/** Keeps what is written. Bytes become UTF-8 text for a terminal, and one character each for a pipe. */
export function keep(terminal?: { readonly columns: number; readonly rows: number }): Output & { readonly text: () => string } {
  const written: string[] = [];
  return {
    write: (text) => written.push(typeof text === "string" ? text : Buffer.from(text).toString(terminal ? "utf8" : "latin1")) > 0,
    text: () => written.join(""),
    ...(terminal && { isTTY: true, ...terminal }),
  };
}
