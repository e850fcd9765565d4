import { MAX_XATTR_SET } from "./columns.ts";
import type { ByteString, Xattr } from "./entry.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import { invalid } from "./sidecar-error.ts";

/** Encodes an xattr set as a byte string: u16 name length, name, u32 value length, value, for each xattr. */
export function encodeXattrs(xattrs: readonly Xattr[]): string {
  const bytes = new GrowingBuffer();
  let previous = "";
  for (const { name, value } of xattrs) {
    if (name <= previous) throw new RangeError("add sidecar entry: xattrs are not sorted by name, or a name is empty or not unique");
    previous = name;
    bytes.u16(name.length);
    bytes.latin1(name);
    bytes.u32(value.length);
    bytes.latin1(value);
  }
  if (bytes.length > MAX_XATTR_SET) throw new RangeError("add sidecar entry: the xattrs are too long");
  return bytes.view().toString("latin1");
}

/** Decodes an xattr set. `start` is its position in the file. @throws SidecarError */
export function decodeXattrs(bytes: Buffer, start: number): readonly Xattr[] {
  const xattrs: Xattr[] = [];
  let previous = "";
  for (let at = 0; at < bytes.length;) {
    const name = field(2);
    const value = field(4);
    if (name <= previous) throw invalid("xattrs", start + at);
    previous = name;
    xattrs.push({ name, value });

    function field(width: 2 | 4): ByteString {
      const from = at + width;
      if (from > bytes.length) throw invalid("xattrs", start + at);
      const to = from + bytes.readUIntLE(at, width);
      if (to > bytes.length) throw invalid("xattrs", start + at);
      at = to;
      return bytes.toString("latin1", from, to) as ByteString;
    }
  }
  if (xattrs.length === 0) throw invalid("xattrs", start);
  return xattrs;
}
