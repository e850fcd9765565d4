/** A hostile layer with its expected outcome, and functions that build such layers. */
import type { ErrorCode } from "../../src/index.ts";
import { END, longText, paxHeader, rawEntry, type RawFields } from "../tar/raw-header.ts";

export interface HostileCase {
  /** Unique name of the case. */
  readonly name: string;
  /** Published vulnerabilities of other extractors that such a layer triggers. */
  readonly cve?: readonly string[];
  /** Builds the uncompressed archive. `outside` is a directory of the host that the layer tries to reach. */
  readonly tar: (outside: string) => Buffer;
  /** Builds the blob, if it is not simply the archive in gzip. */
  readonly blob?: (tar: Buffer) => Buffer;
  readonly expect: Expectation;
}

/** `tree` gives the expected lines of `describeTree`. */
export type Expectation = { readonly refuse: ErrorCode } | { readonly tree: readonly string[] };

export const refuse = (code: ErrorCode): Expectation => ({ refuse: code });
export const tree = (...lines: readonly string[]): Expectation => ({ tree: [...lines].sort() });

export function archive(...entries: readonly Buffer[]): Buffer {
  return Buffer.concat([...entries, END]);
}

export function file(name: string | Buffer, content: string | Buffer = "x", fields: RawFields = {}): Buffer {
  return Buffer.concat([...longNames(name), rawEntry({ name: cut(name), ...fields }, content)]);
}

export function dir(name: string, fields: RawFields = {}): Buffer {
  return Buffer.concat([...longNames(name), rawEntry({ name: cut(name), typeflag: "5", mode: 0o755, ...fields })]);
}

export function symlink(name: string, target: string): Buffer {
  return link("2", name, target);
}

export function hardlink(name: string, target: string): Buffer {
  return link("1", name, target);
}

/** An entry of any other type. */
export function special(typeflag: string, name: string, fields: RawFields = {}): Buffer {
  return Buffer.concat([...longNames(name), rawEntry({ name: cut(name), typeflag, ...fields })]);
}

export function pax(...records: readonly (readonly [key: string, value: string | Buffer])[]): Buffer {
  return paxHeader(records);
}

function link(typeflag: string, name: string, target: string): Buffer {
  const longTarget = target.length > 100 ? [longText("K", target)] : [];
  return Buffer.concat([...longNames(name), ...longTarget, rawEntry({ name: cut(name), typeflag, linkName: cut(target) })]);
}

function longNames(name: string | Buffer): Buffer[] {
  return name.length > 100 ? [longText("L", name)] : [];
}

function cut(text: string | Buffer): string | Buffer {
  return typeof text === "string" ? text.slice(0, 100) : text.subarray(0, 100);
}
