/** The names of a store's objects: how they are parsed, and that the compiler refuses to swap them. The build compiles this file. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import type { ChunkHex, ChunkId } from "../../format/index.ts";
import { parseBlobDigest, parseDiffId } from "../../src/image/digest.ts";
import { chunkId, inodeIdAt, inodeIdOf, inodeNameOf, parseInodeName, parseTreeId, treeIdOf, type InodeId } from "../../src/store/ids.ts";
import { inodeId } from "../../src/store/inode.ts";
import {
  chunkPath,
  chunkPathByName,
  isPendingEdges,
  isShard,
  parseDigestName,
  parseLayerName,
  parseLinkSource,
  parseLinkSourcePath,
  parseStagingName,
  StoreLayout,
} from "../../src/store/layout.ts";

const layout = new StoreLayout("/srv/store");
const HEX = "0123456789abcdef".repeat(4);
const diffId = parseDiffId(`sha256:${HEX}`);
const digest = parseBlobDigest(`sha256:${HEX}`);
const treeId = parseTreeId("a".repeat(26))!;
const chunk = chunkId(hash("sha256", "content", "buffer"));
const inode = inodeIdAt(Buffer.alloc(20, 7), 0);

test("the compiler refuses to swap the ids of a store's objects", () => {
  const attributes = Buffer.alloc(16);
  const swapped = (): unknown[] => [
    // @ts-expect-error a diff ID is not a tree id
    layout.tree(diffId),
    // @ts-expect-error any text is not a tree id
    layout.tree("a".repeat(26)),
    // @ts-expect-error a tree id is not an inode's name
    chunkPathByName("chunks", treeId),
    // @ts-expect-error an inode's name is not a tree id
    layout.treeLock(inodeNameOf(inode)),
    // @ts-expect-error a tree id is not a diff ID
    layout.layer(treeId),
    // @ts-expect-error a chunk id is not an inode id
    chunkPath("chunks", chunk),
    // @ts-expect-error any bytes are not an inode id
    chunkPath("chunks", Buffer.alloc(20)),
    // @ts-expect-error an inode id is not a chunk id
    inodeId(inode, { seconds: 0, nanoseconds: 0 }, attributes),
    // @ts-expect-error any bytes are not a chunk id
    inodeId(Buffer.alloc(32), { seconds: 0, nanoseconds: 0 }, attributes),
    // @ts-expect-error a chunk id is not an inode id
    ((): InodeId => chunk)(),
    // @ts-expect-error an inode id is not a chunk id
    ((): ChunkId => inode)(),
    // @ts-expect-error the digits of a diff ID are not those of a chunk id
    ((): ChunkHex => HEX)(),
  ];
  assert.equal(typeof swapped, "function");
});

test("ids are parsed in their one spelling, and inode ids go from bytes to text and back", () => {
  for (const text of ["", "a".repeat(25), "a".repeat(27), `${"a".repeat(25)}1`, "A".repeat(26)]) assert.equal(parseTreeId(text), undefined);
  for (const text of ["a".repeat(31), `${"a".repeat(31)}0`, "a".repeat(33)]) assert.equal(parseInodeName(text), undefined);
  assert.deepEqual(Buffer.from(inodeIdOf(inodeNameOf(inode))), inode);
  assert.equal(parseInodeName(inodeNameOf(inode)), inodeNameOf(inode));
  assert.equal(treeIdOf(chunk).length, 26);
  assert.throws(() => chunkId(Buffer.alloc(31)), RangeError);
  assert.throws(() => inodeIdAt(Buffer.alloc(20), 1), RangeError);
});

test("names of a store's directories are parsed back to the ids that their paths were made from", () => {
  const last = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
  assert.equal(parseLayerName(last(layout.layer(diffId))), diffId);
  assert.equal(parseDigestName(last(layout.manifest(digest))), digest);
  assert.ok(isPendingEdges(last(layout.pendingEdges(diffId, "0".repeat(16)))));
  const [, shard = "", file = ""] = chunkPath("chunks", inode, 12).split("/");
  assert.ok(isShard(shard));
  assert.deepEqual(parseLinkSource(shard, file), { inode: inodeNameOf(inode), ordinal: 12 });
  for (const path of [`chunks/${shard}/${file}`, `${shard}/${file}`, inodeNameOf(inode)])
    assert.equal(parseLinkSourcePath(path), inodeNameOf(inode), path);
  assert.deepEqual(parseStagingName(last(layout.removedLayer(diffId))), { kind: "removed-layer", diffId });
  assert.deepEqual(parseStagingName(last(layout.replaced(treeId, "01234567"))), { kind: "replaced-tree", treeId });
  assert.deepEqual(parseStagingName(last(layout.work("00"))), { kind: "work" });
  assert.deepEqual(parseStagingName(last(layout.downloads)), { kind: "downloads" });
  assert.deepEqual(parseStagingName(last(layout.replacedDb)), { kind: "other" });
});

test("names that the format does not define are not parsed", () => {
  for (const name of [`sha512-${HEX}`, `sha256-${HEX}0`, `sha256:${HEX}`, HEX]) assert.equal(parseLayerName(name), undefined, name);
  for (const name of [`sha256-${HEX.slice(1)}`, `sha512-${HEX}`, `md5-${HEX}`, ".tmp"])
    assert.equal(parseDigestName(name), undefined, name);
  for (const name of ["a".repeat(29), `${"a".repeat(30)}.0`, `${"a".repeat(30)}.01`, `${"a".repeat(30)}.new`])
    assert.equal(parseLinkSource("ab", name), undefined, name);
  for (const name of [`replaced-${"a".repeat(25)}1-0`, `removed-${HEX.slice(1)}`, "verified-1"])
    assert.deepEqual(parseStagingName(name), { kind: "other" }, name);
});
