/** Paths inside an image: bytes, as typed and as shown. */
import { fromBytes, showBytes, toBytes, type ByteString } from "../bytes.ts";
import type { Context, Line, OptionSpec } from "./command.ts";
import { UsageError } from "./usage-error.ts";
import { flag } from "./values.ts";

export const ESCAPED: Readonly<Record<string, OptionSpec>> = {
  escaped: { type: "boolean", short: "e", help: "PATH has escapes, as a terminal shows them: \\xNN is a byte, \\\\ a backslash" },
};

/** @throws UsageError */
export function typedPath(text: string, { values }: Pick<Line, "values">): string | Uint8Array {
  if (!flag(values, "escaped")) return text;
  const escape: RegExp = /\\(?:x([0-9a-f]{2})|u\{([0-9a-f]{1,6})\}|(\\))/gi;
  if (text.replaceAll(escape, "").includes("\\")) {
    throw new UsageError(`PATH ${JSON.stringify(text)} has a backslash that starts no escape; write \\xNN, \\u{N} or \\\\`);
  }
  const bytes = fromBytes(Buffer.from(text, "utf8")).replaceAll(escape, (_, hex: string | undefined, point: string | undefined) => {
    if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16));
    return point === undefined ? "\\" : fromBytes(Buffer.from(codePoint(point), "utf8"));
  });
  return toBytes(bytes as ByteString);
}

function codePoint(hex: string): string {
  const code = parseInt(hex, 16);
  if (code > 0x10ffff) throw new UsageError(`\\u{${hex}} is not a Unicode character`);
  return String.fromCodePoint(code);
}

/** A name for standard output: escaped for a terminal, else unchanged bytes. */
export function nameBytes(bytes: Uint8Array, { stdout }: Context): Buffer {
  return stdout.isTTY === true ? Buffer.from(showBytes(bytes), "utf8") : Buffer.from(bytes);
}

/** Bytes in a JSON document: text if they are UTF-8, else `{ hex }`. */
export function jsonBytes(bytes: Uint8Array): string | { readonly hex: string } {
  const text = Buffer.from(bytes).toString("utf8");
  return Buffer.from(text, "utf8").equals(bytes) ? text : { hex: Buffer.from(bytes).toString("hex") };
}

export function joinPath(directory: Uint8Array, name: Uint8Array): Buffer {
  const before = Buffer.from(directory);
  return Buffer.concat(before.length === 0 || before.at(-1) === 0x2f ? [before, name] : [before, Buffer.from("/"), name]);
}

export function pathBytes(path: string | Uint8Array): Buffer {
  return Buffer.from(path);
}
