/** What passes through shared memory: ring, slabs, parts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ByteString } from "../../../src/bytes.ts";
import { EntryTable } from "../../../src/ingest/layer/entry-table.ts";
import { PartBuilder, partTransfer } from "../../../src/ingest/layer/part.ts";
import { createRing, RING_BYTES, RingReader, RingWriter } from "../../../src/ingest/pipeline/ring.ts";
import { createSlabMemory, SLAB_COUNT, Slabs, type FilledSlab } from "../../../src/ingest/pipeline/slabs.ts";
import { chunkId, inodeIdAt } from "../../../src/store/ids.ts";
import type { TarEntry } from "../../../src/tar/entry.ts";

test("`RingWriter` and `RingReader` hand over every byte in order through many wraps, past 2^32 positions", async () => {
  const memory = createRing();
  // positions are counted modulo 2^32: begin just before they turn negative, and just before they start over
  for (const start of [0, 2 ** 31 - 1_000_003, 2 ** 32 - 1_000_003]) {
    new Int32Array(memory).fill(0, 0, 3);
    new Int32Array(memory)[0] = new Int32Array(memory)[1] = start | 0;
    const writer = new RingWriter(memory, () => {});
    const reader = new RingReader(memory);
    const sizes = [1, 70_000, RING_BYTES - 1, RING_BYTES, RING_BYTES + 1, 3, 999_983, 2 * RING_BYTES + 77];
    const sent = sizes.map((size, index) => Buffer.alloc(size, `${index}-ring`));
    const writing = (async () => {
      for (const chunk of sent) assert.equal(await writer.write(chunk), true);
      writer.end();
    })();
    const got: Buffer[] = [];
    for (let limit = 1; ; limit = (limit * 7 + 13) % 65_536) {
      const ended = reader.ended;
      const bytes = reader.peek(limit);
      got.push(Buffer.from(bytes));
      reader.consume(bytes.length);
      if (ended && bytes.length === 0) break;
      if (bytes.length === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await writing;
    assert.ok(Buffer.concat(got).equals(Buffer.concat(sent)));
  }
});

test("`RingWriter.write()` gives false once the reader wants no more, also while it waits for room", async () => {
  const memory = createRing();
  const writer = new RingWriter(memory, () => {});
  const writing = writer.write(Buffer.alloc(RING_BYTES + 1));
  await new Promise((resolve) => setImmediate(resolve));
  new RingReader(memory).abort();
  assert.equal(await writing, false);
  assert.equal(await writer.write(Buffer.alloc(1)), false);
  writer.end();
  assert.equal(new RingReader(memory).ended, false);
});

test("`RingWriter.abort()` ends a `write()` that waits for room", async () => {
  const writer = new RingWriter(createRing(), () => {});
  const writing = writer.write(Buffer.alloc(RING_BYTES + 1));
  await new Promise((resolve) => setImmediate(resolve));
  writer.abort();
  assert.equal(await writing, false);
});

test("`Slabs` gives each slab to one taker: those passed to a worker in order, published ones to any, with all that was said of them", () => {
  const slabs = new Slabs(createSlabMemory(3));
  const taken = Array.from({ length: SLAB_COUNT }, () => slabs.takeFree());
  assert.equal(new Set(taken).size, SLAB_COUNT);
  assert.equal(slabs.takeFree(), -1);
  const contents: FilledSlab["content"][] = ["entries", "piece", "last-piece", "rest", "end"];
  const filled = taken.map((slab, sequence): FilledSlab => ({
    slab,
    content: contents[sequence % contents.length]!,
    layer: 1000 + slab,
    sequence,
    end: 1_048_576 - slab,
    offset: 2 ** 31 * sequence + 512 * slab,
  }));
  // more often than there are slabs, so that each queue wraps, with all slabs in one of them too
  for (let round = 0; round < 7; round++) {
    const [first, others] = [filled.slice(0, round * 2 + 4), filled.slice(round * 2 + 4)];
    for (const one of first) slabs.pass(one, 2);
    for (const one of others) slabs.pass(one, 0);
    assert.equal(slabs.takePassed(1), undefined);
    assert.deepEqual(
      first.map(() => slabs.takePassed(2)),
      first,
    );
    assert.deepEqual(
      others.map(() => slabs.takePassed(0)),
      others,
    );
    assert.equal(slabs.takePassed(2) ?? slabs.takePassed(0), undefined);
  }
  assert.equal(slabs.takeReady(), undefined);
  for (const one of filled) slabs.publish(one);
  assert.equal(slabs.readyCount, SLAB_COUNT);
  const got = filled.map(() => slabs.takeReady()).sort((a, b) => a!.sequence - b!.sequence);
  assert.deepEqual(got, filled);
  slabs.release(3);
  assert.equal(slabs.takeFree(), 3);
});

test("`Slabs.wait()` does not sleep through a change that came after the count was taken", () => {
  const slabs = new Slabs(createSlabMemory(1));
  const seen = slabs.eventCount;
  slabs.changed();
  assert.equal(slabs.wait(seen, 5000), "not-equal");
});

const bytes = (maxLength: number): fc.Arbitrary<ByteString> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array.filter((byte) => byte !== 0)).toString("latin1") as ByteString);
const entry: fc.Arbitrary<TarEntry> = fc.record({
  kind: fc.constantFrom("ignored", "file", "directory", "symlink", "hardlink", "char", "block", "fifo"),
  path: bytes(300),
  linkPath: bytes(300),
  mode: fc.nat(0o7777),
  uid: fc.nat(2 ** 32 - 1),
  gid: fc.nat(2 ** 32 - 1),
  devMajor: fc.nat(4095),
  devMinor: fc.nat(2 ** 20 - 1),
  mtime: fc.maxSafeInteger(),
  mtimeNs: fc.nat(999_999_999),
  xattrs: fc.array(
    fc.record(
      {
        name: bytes(40).filter((name) => name !== ""),
        value: fc.uint8Array({ maxLength: 70_000 }).map((array) => Buffer.from(array).toString("latin1") as ByteString),
      },
      { noNullPrototype: true },
    ),
    { maxLength: 3 },
  ),
  size: fc.nat(Number.MAX_SAFE_INTEGER),
  start: fc.constant(0),
  data: fc.constant(0),
  end: fc.constant(0),
  stored: fc.constant(0),
});

test("`EntryTable` gives back every row of a `PartBuilder`, and none of its buffers lies in a shared pool", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(entry, fc.nat(2 ** 50), fc.boolean()), { maxLength: 12 }), (rows) => {
      const builder = new PartBuilder(7);
      const stored = rows.map(([, offset, has]) =>
        has
          ? {
              chunk: chunkId(Buffer.alloc(32, offset % 251)),
              inode: inodeIdAt(Buffer.alloc(20, offset % 241), 0),
              state: (offset % 3) as 0 | 1 | 2,
            }
          : undefined,
      );
      rows.forEach(([one, offset], index) => builder.add(one, offset, stored[index]));
      const part = structuredClone(builder.build(Buffer.from("frame")), undefined);
      for (const buffer of partTransfer(part)) assert.ok(buffer.byteLength < 1_000_000);
      const table = new EntryTable([part, part]);
      assert.equal(table.count, rows.length * 2);
      for (let index = 0; index < table.count; index++) {
        const [{ start: _s, data: _d, end: _e, stored: _b, path, linkPath, ...expected }, offset] = rows[index % rows.length]!;
        assert.deepEqual({ ...table.row(index) }, { ...expected, offset, sparse: false });
        assert.deepEqual([table.kind(index), table.offset(index)], [expected.kind, offset]);
        assert.deepEqual([table.path(index), table.linkPath(index)], [path, linkPath]);
        const got = table.stored(index);
        const put = stored[index % rows.length];
        assert.deepEqual(got && [Buffer.from(got.chunk), Buffer.from(got.inode)], put && [put.chunk, put.inode]);
      }
      assert.throws(() => table.kind(table.count), RangeError);
    }),
    { numRuns: 40 },
  );
});
