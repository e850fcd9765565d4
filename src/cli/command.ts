/**
 * What a command is: a table that is parsed by, and shown as help, documentation and completion, and an action.
 *
 * To add one: write `commands/NAME.ts` that exports a `Command`, add its line to commands.ts, run
 * `npm run build && node dist/tools/cli-docs.js --update` (docs/cli.md), and test it in test/cli/NAME.test.ts.
 *
 * Rules that hold for all of them:
 * - Options begin with `...COMMON` (options.ts: --store, --json, --quiet). What the values mean is settled by the table: run() gets
 *   sizes as bytes, durations as milliseconds, and nothing that is not among the choices. Read them by values.ts.
 * - Nothing of the library is imported but types: `await context.loadApi()` gives it, so that help costs nothing and a test can
 *   give another. Other modules that are slow to load are imported when they are needed.
 * - The result goes to standard output, by print() if it may be long; everything else (progress, notes, warnings) to standard
 *   error, by a Reporter (reporter.ts), which knows --quiet and --json.
 * - With --json standard output has one JSON document, written by showJson(); its shape is in `json`, for the documentation.
 * - Strangers' text is escaped: showMessage() where the library has escaped backslashes already, showBytes() for names.
 * - Errors are thrown. ShaleErrors have a code, what the user typed wrongly is a UsageError; run.ts tells them, and exit-codes.ts
 *   makes an exit code of them. A command that ends well returns nothing, or an exit code that its `exitCodes` documents.
 * - context.signal is handed to every call of the library. Handles are closed by `await using`.
 */
import type * as Library from "../index.ts";

/** The public API, loaded only when a command needs it; a test gives one of its own. */
export type Api = typeof Library;

/** Where text goes; a terminal has a size. */
export interface Output {
  /** False: wait for `drain` before more is written. */
  write(text: string | Uint8Array): unknown;
  on?(event: "drain" | "close", listener: () => void): unknown;
  off?(event: "drain" | "close", listener: () => void): unknown;
  readonly destroyed?: boolean;
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
  /** Just what a cached pull needs of it, which is quicker. */
  readonly loadBoot: () => Promise<Pick<Api, "openStore" | "Registry">>;
  /** ms since 1970; default: the clock. */
  readonly now?: () => number;
}

/** What may stand for an argument or an option's value, for completion. */
export type Completes = "reference" | "file" | "directory" | "lease" | readonly string[];

export interface OptionSpec {
  /** `size` takes `20GB`, `512MiB` or bytes; `duration` takes `90s`, `5m`, `12h`, `7d`; `count` a whole number from 1 on. */
  readonly type: "boolean" | "string" | "size" | "duration" | "count";
  /** One letter. */
  readonly short?: string;
  /** What stands for the value in help; not for booleans. */
  readonly argument?: string;
  readonly choices?: readonly string[];
  /** Of a count: the least (default 1) and the most that it may be. */
  readonly range?: readonly [least: number, most: number];
  /** May be given more than once: the value is a list. Only for strings. */
  readonly multiple?: boolean;
  readonly completes?: Completes;
  /** One line for help, without a full stop. */
  readonly help: string;
}

export interface ArgumentSpec {
  /** In capitals, as in help. */
  readonly name: string;
  /** Only the last ones. */
  readonly optional?: boolean;
  /** One or more (with `optional`: any number); only the last one. */
  readonly repeated?: boolean;
  readonly choices?: readonly string[];
  readonly completes?: Completes;
}

export type OptionValues = Readonly<Record<string, string | boolean | number | readonly string[] | undefined>>;

export interface Line {
  readonly args: readonly string[];
  readonly values: OptionValues;
  /** All commands, in the order of help. */
  readonly loadCommands: () => Promise<Command[]>;
}

export interface Command {
  /** One word, or two for a command of a group (`lease ls`). */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Options of which only one may be given. */
  readonly conflicts?: readonly (readonly string[])[];
  /** Paragraphs for help, after the options, without line feeds. */
  readonly notes?: readonly string[];
  /** What --json prints, as one line of text. */
  readonly json?: string;
  readonly examples: readonly (readonly [command: string, does: string])[];
  /** Where the exit codes are not those of exit-codes.ts. */
  readonly exitCodes?: {
    /** In the order of their numbers. */
    readonly rows: readonly (readonly [code: number, meaning: string])[];
    /** For whatever is thrown, interruptions excepted. */
    readonly ofFailure: (kind: "usage" | "other") => number;
  };
  /** Resolves to an exit code; nothing is 0. */
  readonly run: (line: Line, context: Context) => Promise<number | void>;
}
