/**
 * A command: a table, from which its parser, help, documentation and completion are made, and an action.
 *
 * To add a command: write `commands/NAME.ts`, which exports a `Command`; add its line to commands.ts; run
 * `npm run build && node dist/tools/cli-docs.js --update` (docs/cli.md); and test it in test/cli/NAME.test.ts.
 *
 * Rules for all commands:
 * - Options start with `...COMMON` (options.ts: --store, --json, --quiet). The parser checks values against the table: run() gets
 *   sizes as bytes, durations as milliseconds, and only allowed choices. Read them by values.ts.
 * - Only types are imported from the library. `await context.loadApi()` loads it, so that help is fast and tests can replace it.
 *   Other modules that are slow to load are imported on demand.
 * - The result goes to standard output, by print() if it may be long. Everything else (progress, notes, warnings) goes to standard
 *   error by a Reporter (reporter.ts), which respects --quiet and --json.
 * - With --json, standard output has one JSON document, written by showJson(). `json` describes its shape for the documentation.
 * - Text from images and registries is escaped: by showMessage() if the library has escaped backslashes before, by showBytes() for names.
 * - Errors are thrown: a ShaleError with its code, or a UsageError for a wrong command line. run.ts reports them, and exit-codes.ts
 *   gives their exit codes. A successful command returns nothing, or an exit code listed in its `exitCodes`.
 * - Every call of the library gets context.signal. Handles are closed by `await using`.
 */
import type * as Library from "../index.ts";

/** The public API, loaded only if a command needs it; tests replace it. */
export type Api = typeof Library;

/** A stream for text; a terminal has a size. */
export interface Output {
  /** False: wait for `drain` before writing more. */
  write(text: string | Uint8Array): unknown;
  on?(event: "drain" | "close", listener: () => void): unknown;
  off?(event: "drain" | "close", listener: () => void): unknown;
  readonly destroyed?: boolean;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  /** True while written text is still buffered: then optional output is skipped. */
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
  /** Loads only the part that a cached pull needs, which is faster. */
  readonly loadBoot: () => Promise<Pick<Api, "openStore" | "Registry">>;
  /** ms since 1970; default: the clock. */
  readonly now?: () => number;
}

/** What completion suggests for an argument or a value. */
export type Completes = "reference" | "file" | "directory" | "lease" | readonly string[];

export interface OptionSpec {
  /** `size` takes `20GB`, `512MiB` or bytes; `duration` takes `90s`, `5m`, `12h`, `7d`; `count` takes a positive integer. */
  readonly type: "boolean" | "string" | "size" | "duration" | "count";
  /** One letter. */
  readonly short?: string;
  /** Placeholder of the value in help; not for booleans. */
  readonly argument?: string;
  readonly choices?: readonly string[];
  /** Allowed values of a count; default: from 1. */
  readonly range?: readonly [least: number, most: number];
  /** May be repeated: the value is a list. Only for strings. */
  readonly multiple?: boolean;
  readonly completes?: Completes;
  /** One line for help, without a full stop. */
  readonly help: string;
}

export interface ArgumentSpec {
  /** In capitals, as in help. */
  readonly name: string;
  /** Only for the last arguments. */
  readonly optional?: boolean;
  /** One or more (with `optional`: any number); only for the last argument. */
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
  /** One sentence that starts with a verb in the imperative. */
  readonly summary: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Groups of options that exclude each other. */
  readonly conflicts?: readonly (readonly string[])[];
  /** Paragraphs for help, after the options, without line feeds. */
  readonly notes?: readonly string[];
  /** The shape of what --json prints, as one line of text. */
  readonly json?: string;
  readonly examples: readonly (readonly [command: string, does: string])[];
  /** Exit codes, if they differ from exit-codes.ts. */
  readonly exitCodes?: {
    /** In numeric order. */
    readonly rows: readonly (readonly [code: number, meaning: string])[];
    /** The exit code of an error; interruptions always give 130. */
    readonly ofFailure: (kind: "usage" | "other") => number;
  };
  /** Resolves to an exit code; undefined means 0. */
  readonly run: (line: Line, context: Context) => Promise<number | void>;
}
