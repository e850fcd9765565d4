/** What a command is: a table that is parsed by, and shown as help, and an action. */
import type { Registry, openStore } from "../index.ts";

/** The public API, loaded only when a command needs it; a test gives one of its own. */
export interface Api {
  readonly openStore: typeof openStore;
  readonly Registry: typeof Registry;
}

/** Where text goes; a terminal has a size. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  /** True while what was written waits to be taken: then nothing that can be left out is written. */
  readonly writableNeedDrain?: boolean;
}

/** Everything that a command touches outside the API. */
export interface Context {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
  readonly loadApi: () => Promise<Api>;
}

export interface OptionSpec {
  readonly type: "boolean" | "string";
  /** One letter. */
  readonly short?: string;
  /** What stands for the value in help; only for strings. */
  readonly argument?: string;
  readonly choices?: readonly string[];
  readonly help: string;
}

export type OptionValues = Readonly<Record<string, string | boolean | undefined>>;

export interface Command {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Names of the arguments, all of them required. */
  readonly arguments: readonly string[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Paragraphs for help, after the options. */
  readonly notes?: readonly string[];
  readonly examples: readonly (readonly [command: string, does: string])[];
  readonly run: (line: { readonly args: readonly string[]; readonly values: OptionValues }, context: Context) => Promise<void>;
}
