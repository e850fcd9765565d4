/** What a registry is asked with, from the options of a command. */
import { readFileSync } from "node:fs";
import type { RegistryOptions } from "../index.ts";
import type { Line } from "./command.ts";
import { parseSize } from "./parse-amount.ts";
import { UsageError } from "./usage-error.ts";
import { flag, list, text } from "./values.ts";

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
