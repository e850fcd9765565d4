/** Options for Store and Registry, from the options of a command. */
import { messageOf } from "../errors.ts";
import type { GcResult, ParallelRanges, Profile, Registry, RegistryOptions, StoreOptions } from "../index.ts";
import type { Line, OptionValues } from "./command.ts";
import { parseSize } from "./parse-amount.ts";
import { nameOptions, showMessage, showSize } from "./show.ts";
import { UsageError } from "./usage-error.ts";
import { amount, flag, list, text } from "./values.ts";

const { readFileSync, statSync } = process.getBuiltinModule("node:fs");

/** Options of a store that a command pulls into. */
export function storeOptions(
  { values }: Pick<Line, "values">,
  { signal, onWarning, note }: Required<Pick<StoreOptions, "signal" | "onWarning">> & { readonly note: (line: string) => void },
): StoreOptions {
  return {
    signal,
    onWarning,
    profile: text(values, "profile") as Profile | undefined,
    workers: amount(values, "workers"),
    maxBytes: amount(values, "max-bytes"),
    minFreeBytes: amount(values, "min-free"),
    onEvicted: ({ references, bytes, blobBytes }: GcResult) => {
      if (references.length === 0) return;
      const names = references.map(({ reference }) => showMessage(reference)).join(", ");
      note(`freed ${showSize(bytes + blobBytes)} to stay within the budget: removed ${names}`);
    },
  };
}

/** @throws UsageError */
export function registryOptions({ values }: Pick<Line, "values">): Omit<RegistryOptions, "store"> {
  const ca = text(values, "ca");
  const limits = list(values, "limit");
  return {
    plainHttp: flag(values, "plain-http"),
    insecure: flag(values, "insecure"),
    ca: ca === undefined ? undefined : readCertificates(ca),
    hostDirectories: readDirectories(list(values, "hosts-dir")),
    credentials: flag(values, "anonymous") ? "anonymous" : undefined,
    http2: flag(values, "http2"),
    parallelRanges: parallelRanges(values),
    allowForeignLayers: flag(values, "allow-foreign-layers"),
    requireProof: flag(values, "require-proof"),
    keepBlobs: flag(values, "keep-blobs"),
    limits: limits && Object.fromEntries(limits.map(parseLimit)),
  };
}

/** @throws UsageError if the library rejects an option */
export function openRegistry(Api: new (options: RegistryOptions) => Registry, options: RegistryOptions): Registry {
  try {
    return new Api(options);
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(nameOptions(error.message), { cause: error }) : error;
  }
}

function parallelRanges(values: OptionValues): ParallelRanges | undefined {
  const count = amount(values, "parallel-ranges");
  const minBytes = amount(values, "parallel-min");
  if (count !== undefined) return { count, minBytes };
  if (minBytes !== undefined) throw new UsageError("--parallel-min needs --parallel-ranges");
  return undefined;
}

function readDirectories(given: readonly string[] | undefined): readonly string[] | undefined {
  for (const path of given ?? [])
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory())
      throw new UsageError(`--hosts-dir ${JSON.stringify(path)} is not a directory`);
  return given;
}

function readCertificates(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`--ca ${JSON.stringify(path)} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** The library checks names and ranges. */
function parseLimit(given: string): readonly [string, number] {
  const [, name = "", value = ""] = /^(\w+)=(.+)$/.exec(given) ?? [];
  const parsed = parseSize(value);
  if (parsed === undefined) throw new UsageError(`--limit ${JSON.stringify(given)} is not NAME=VALUE; write for example layerBytes=10GiB`);
  return [name, parsed];
}
