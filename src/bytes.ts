/**
 * Bytes that are names. A path, link target or xattr of an image is bytes, not text: UTF-8 is a habit, not a rule. Inside
 * shale they travel as *byte strings*: one character (U+0000 to U+00FF) a byte, so that comparison, slicing, Map keys and
 * sorting are those of the bytes.
 */

declare const brand: unique symbol;
/** A string whose every character is one byte (latin1). Never show it to a person: see `showBytes`. */
export type ByteString = string & { readonly [brand]: "ByteString" };

export function fromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1") as ByteString;
}

export function toBytes(text: ByteString): Buffer {
  return Buffer.from(text, "latin1");
}

/** A path as callers write it: a string is UTF-8. */
export function toByteString(path: string | Uint8Array): ByteString {
  return typeof path === "string" ? fromBytes(Buffer.from(path, "utf8")) : fromBytes(path);
}

const ASCII: RegExp = /^[\x20-\x7e]*$/;

/** The argument for node:fs: plain ASCII goes as it is, all else as a Buffer, which fs passes on byte for byte. */
export function fsPath(text: ByteString): string | Buffer {
  return ASCII.test(text) ? text : toBytes(text);
}

const utf8: InstanceType<typeof TextDecoder> = new TextDecoder("utf-8", { fatal: true });

/**
 * For people and terminals: valid UTF-8 as it is, but control characters, backslashes and stray bytes as `\xNN` or
 * `\\`, so that the text is unambiguous and cannot steer a terminal. At most `limit` characters, then an ellipsis.
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
    // not UTF-8 as a whole: every byte outside ASCII is shown by its number
    return escapeText(text, /[\\\p{C}\x80-\xff]/gu);
  }
}

/** Escapes what could steer a terminal or reorder a line in text from a stranger: controls, formats, separators. */
export function escapeText(text: string, unsafe: RegExp = /[\\\p{C}\p{Zl}\p{Zp}]/gu): string {
  return text.replaceAll(unsafe, (character) => {
    if (character === "\\") return "\\\\";
    const code = character.codePointAt(0) ?? 0;
    return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}
