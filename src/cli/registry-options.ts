/** What a registry is asked with, from the options of a command. */
import type { GcResult, Profile, RegistryOptions, StoreOptions } from "../index.ts";
import type { Line } from "./command.ts";
import { parseSize } from "./parse-amount.ts";
import { showMessage, showSize } from "./show.ts";
import { UsageError } from "./usage-error.ts";
import { amount, flag, list, text } from "./values.ts";

const { readFileSync } = process.getBuiltinModule("node:fs");

/** Of a store that is pulled into. */
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
      note(`to make room, ${showSize(bytes + blobBytes)} went with ${names}`);
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
    hostDirectories: list(values, "hosts-dir"),
    credentials: flag(values, "anonymous") ? "anonymous" : undefined,
    keepBlobs: flag(values, "keep-blobs"),
    limits: limits && Object.fromEntries(limits.map(parseLimit)),
  };
}

function readCertificates(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--ca ${JSON.stringify(path)} cannot be read: ${why}`, { cause: error });
  }
}

/** Which names there are, and how far they go, is for the library to say. */
function parseLimit(given: string): readonly [string, number] {
  const [, name = "", value = ""] = /^(\w+)=(.+)$/.exec(given) ?? [];
  const parsed = parseSize(value);
  if (parsed === undefined) throw new UsageError(`--limit ${JSON.stringify(given)} is no NAME=VALUE, as in layerBytes=10GiB`);
  return [name, parsed];
}
