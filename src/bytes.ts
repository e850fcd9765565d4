/**
 * Names as bytes. A path, link target or xattr of an image may hold any bytes, not only UTF-8. Inside shale such a name is a
 * *byte string*: each character (U+0000 to U+00FF) stands for one byte. Comparing, slicing, sorting and Map keys then work on bytes.
 */
import type { ByteString } from "../format/entry.ts";

export type { ByteString };

export function fromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1") as ByteString;
}

export function toBytes(text: ByteString): Buffer {
  return Buffer.from(text, "latin1");
}

/** Converts a path of the public API, in which a string is UTF-8. */
export function toByteString(path: string | Uint8Array): ByteString {
  return typeof path === "string" ? fromBytes(Buffer.from(path, "utf8")) : fromBytes(path);
}

const ASCII: RegExp = /^[\x20-\x7e]*$/;

/** Returns the argument for node:fs: ASCII as a string, any other name as a Buffer, which node:fs passes on unchanged. */
export function fsPath(text: ByteString): string | Buffer {
  return ASCII.test(text) ? text : toBytes(text);
}

const utf8: InstanceType<typeof TextDecoder> = new TextDecoder("utf-8", { fatal: true });

/**
 * Returns text that is safe to show in a terminal. Valid UTF-8 stays as it is. Control characters and bytes that are not UTF-8 become
 * `\xNN`, and a backslash becomes `\\`, so the text is unambiguous. Text longer than `limit` characters ends in an ellipsis.
 */
export function showBytes(bytes: ByteString | Uint8Array, limit = 4096): string {
  const text = typeof bytes === "string" ? bytes : fromBytes(bytes);
  const shown = ASCII.test(text) ? text.replaceAll("\\", "\\\\") : showMixed(text);
  return shown.length <= limit ? shown : `${shown.slice(0, limit)}…`;
}

function showMixed(text: ByteString): string {
  try {
    return escapeText(utf8.decode(toBytes(text)));
  } catch {
    // the bytes are not valid UTF-8: show every byte outside ASCII as `\xNN`
    return escapeText(text, /[\\\p{C}\x80-\xff]/gu);
  }
}

/** Escapes characters of untrusted text that could control a terminal or reorder a line: controls, format characters, separators. */
export function escapeText(text: string, unsafe: RegExp = /[\\\p{C}\p{Zl}\p{Zp}]/gu): string {
  return text.replaceAll(unsafe, (character) => {
    if (character === "\\") return "\\\\";
    const code = character.codePointAt(0) ?? 0;
    return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** A view of memory that no other thread shares. As `Uint8Array<ArrayBuffer>`, which TypeScript 5.6 cannot read. */
export type Unshared<View extends ArrayBufferView> = View & { readonly buffer: ArrayBuffer };
