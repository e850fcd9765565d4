import assert from "node:assert/strict";
import { test } from "node:test";
import type { ByteString } from "../../../src/bytes.ts";
import { Inode } from "../../../src/ingest/layer/layer-inode.ts";
import { numberContents } from "../../../src/ingest/layer/number-contents.ts";
import { chunkId, inodeIdAt } from "../../../src/store/ids.ts";
import type { TarEntry } from "../../../src/tar/entry.ts";
import { entryTableOf, type IngestedEntry } from "../../support/entry-table-of.ts";

/** A file whose chunk id is all `chunk` and whose inode id is all `inode`. */
function file(chunk: number, inode: number, size = chunk): IngestedEntry {
  const numbers = { mode: 0o644, uid: 0, gid: 0, devMajor: 0, devMinor: 0, mtime: 0, mtimeNs: 0, start: 0, data: 0, end: 0, stored: 0 };
  const entry: TarEntry = { kind: "file", path: "f" as ByteString, linkPath: "" as ByteString, xattrs: [], size, ...numbers };
  return {
    entry,
    offset: 512,
    stored: size === 0 ? undefined : { chunk: chunkId(Buffer.alloc(32, chunk)), inode: inodeIdAt(Buffer.alloc(20, inode), 0), state: 0 },
  };
}

function row(inode: number, size: number): Buffer {
  const bytes = Buffer.alloc(26, inode);
  bytes.writeUIntLE(size, 20, 6);
  return bytes;
}

const files = [file(5, 50), file(0, 0), file(6, 60, 2 ** 40), file(5, 51), file(5, 50)];

test("`numberContents()` numbers chunks as entries first use them, and lists each inode once", () => {
  for (const rows of [1, 2, 1000]) {
    const { chunkRows, chunks, inodes } = numberContents(entryTableOf(files, rows), { inodes: [], rows: new Set() });
    assert.deepEqual([...chunkRows], [0, -1, 1, 0, 0]);
    assert.deepEqual(chunks, Buffer.concat([Buffer.alloc(32, 5), Buffer.alloc(32, 6)]));
    assert.deepEqual(Buffer.from(inodes), Buffer.concat([row(50, 5), row(60, 2 ** 40), row(51, 5)]));
    assert.equal(inodes.buffer.byteLength, inodes.length);
  }
});

test("`numberContents()` lists a restored inode in place of what its entry brought, unless others use that", () => {
  const entries = entryTableOf(files, 2);
  const restored = (row: number): Inode => {
    const inode = new Inode(row, entries);
    inode.restore({ chunk: chunkId(Buffer.alloc(32, 6)), inode: inodeIdAt(Buffer.alloc(20, 99), 0), state: 0 });
    return inode;
  };
  const list = (row: number, isLive: boolean): Buffer =>
    Buffer.from(numberContents(entries, { inodes: [restored(row)], rows: new Set(isLive ? [row] : []) }).inodes);
  assert.deepEqual(list(2, true), Buffer.concat([row(50, 5), row(51, 5), row(99, 2 ** 40)]));
  assert.deepEqual(list(2, false), Buffer.concat([row(50, 5), row(60, 2 ** 40), row(51, 5), row(99, 2 ** 40)]));
  assert.deepEqual(list(4, true), Buffer.concat([row(50, 5), row(60, 2 ** 40), row(51, 5), row(99, 5)]));
});
