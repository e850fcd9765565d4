import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { encodeSidecar, Flag, Sidecar, SidecarError, verifySidecar } from "../../format/index.ts";
import type { SidecarEntry } from "../../format/index.ts";
import { arbitraryLayer, directory, entryOf, layerOf, xattr } from "./arbitrary-layer.ts";
import type { Layer } from "./arbitrary-layer.ts";
import { readColumns, resum } from "../../tools/sidecar-damage.ts";

const scratch: string = mkdtempSync(join(tmpdir(), "verify-sidecar-"));
after(() => rmSync(scratch, { recursive: true }));

const root: SidecarEntry = entryOf("", directory);
const file: Partial<SidecarEntry> = { size: 3, offset: 1024, chunk: 0 };
const small: Layer = layerOf([
  root,
  entryOf("d", directory),
  entryOf("f", { ...file, flags: Flag.hardLink, leader: 2, xattrs: [xattr("user.a", "\xff")] }),
  entryOf("g", { ...file, flags: Flag.hardLink, leader: 2, offset: 0, xattrs: [xattr("user.a", "\xff")] }),
  entryOf("d/l", { mode: 0o120777, target: "../f" }),
  entryOf("d/w", { mode: 0, flags: Flag.whiteout }),
]);

describe("verifySidecar", () => {
  it("`verifySidecar()` accepts both forms of what an ingest makes", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, async ({ indexed, unindexed }) => {
        const { entries, live, diffId } = indexed;
        const expected = { diffId: Buffer.from(diffId), count: entries.length, live, unknownKeys: [] };
        assert.deepEqual(await verifySidecar(await encodeSidecar({ ...indexed, indexed: true })), { ...expected, indexed: true });
        assert.deepEqual(await verifySidecar(await encodeSidecar({ ...unindexed, indexed: false })), { ...expected, indexed: false });
      }),
    );
  });

  for (const indexed of [true, false]) {
    it(`\`verifySidecar()\` notices every flipped bit (indexed: ${indexed})`, async () => {
      const bytes = await encodeSidecar({ ...small, indexed });
      for (let at = 0; at < bytes.length; at++) {
        for (const bit of [1, 16, 128]) {
          const damaged = Buffer.from(bytes);
          damaged[at] = (damaged[at] ?? 0) ^ bit;
          await assert.rejects(verifySidecar(damaged), SidecarError, `byte ${at}, bit ${bit}`);
        }
      }
    });
  }

  it("`verifySidecar()` and `Sidecar` notice a file cut off at any length, or with bytes after its end", async () => {
    const bytes = await encodeSidecar({ ...small, indexed: true });
    const path = join(scratch, "cut");
    for (let length = 0; length < bytes.length; length++) {
      await assert.rejects(verifySidecar(bytes.subarray(0, length)), SidecarError);
      await assert.rejects(Sidecar.fromBytes(bytes.subarray(0, length)), SidecarError);
      writeFileSync(path, bytes.subarray(0, length));
      await assert.rejects(Sidecar.openFile(path), SidecarError);
    }
    await assert.rejects(verifySidecar(Buffer.concat([bytes, Buffer.alloc(1)])), SidecarError);
  });

  it("`verifySidecar()` and `Sidecar` never do worse than SidecarError on wrong values whose checksums are right", async () => {
    const layers = await Promise.all([true, false].map((indexed) => encodeSidecar({ ...small, indexed })));
    const byte = fc.record({ at: fc.nat(), value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)) });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...layers), fc.array(byte, { minLength: 1, maxLength: 8 }), async (bytes, changes) => {
        const damaged = Buffer.from(bytes);
        for (const { at, value } of changes) damaged[at % damaged.length] = value;
        await resum(damaged);
        await outcome(() => verifySidecar(damaged));
        await outcome(() => readAll(damaged));
      }),
      { numRuns: 3000 },
    );
  });

  it("`verifySidecar()` accepts no wrong bit in the columns that others explain, whose checksums are right", async () => {
    const explained = ["mode", "whiteout", "link", "chunk", "order", "dirPathEnd", "xattrsEnd", "linkPathEnd"];
    const bytes = await encodeSidecar({ ...small, indexed: true });
    for (const { name, start, length } of readColumns(bytes)) {
      for (let at = start; explained.includes(name) && at < start + length; at++) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ 1;
        await resum(damaged);
        await assert.rejects(verifySidecar(damaged), SidecarError, `${name}, byte ${at - start}`);
      }
    }
  });

  it("`verifySidecar()` accepts only bytes that encoding gives", async () => {
    const bytes = await encodeSidecar({ ...small, indexed: true });
    let accepted = 0;
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      await resum(damaged);
      if (!(await outcome(() => verifySidecar(damaged)))) continue;
      accepted++;
      using sidecar = await Sidecar.fromBytes(damaged);
      const entries = Array.from({ length: sidecar.count }, (_, entry) => sidecar.entry(entry));
      const { diffId, live } = sidecar;
      const layer = { diffId, live, entries, order: Uint32Array.from(sidecar.tarOrder()), chunks: sidecar.chunkTable() };
      assert.deepEqual(await encodeSidecar({ ...layer, indexed: true }), damaged, `byte ${at}`);
    }
    assert.ok(accepted > 32);
  });

  for (const [what, change] of [
    ["a live whiteout with a type", [5, { mode: 0o100644 }]],
    ["a whiteout with content that does not stand in the tar", [5, { size: 3, chunk: 0 }]],
    ["a whiteout with content that has no chunk", [5, { size: 3, offset: 4096 }]],
    ["an opaque file", [2, { flags: Flag.hardLink | Flag.opaque }]],
    ["a file with size and no chunk", [4, { mode: 0o100644, target: "", size: 9 }]],
    ["a symlink without a target", [4, { target: "" }]],
    ["a directory with a target", [1, { target: "x" }]],
    ["a file in what is no directory", [1, { mode: 0o100644 }]],
    ["a root that is no directory", [0, { mode: 0o100644 }]],
    ["a device number on a fifo", [4, { mode: 0o010644, target: "", rdevMajor: 1 }]],
    ["an unknown type", [4, { mode: 0o030644, target: "" }]],
    ["an offset without a chunk", [4, { offset: 4096 }]],
    ["names of one inode with two modes", [3, { mode: 0o100600 }]],
    ["names of one inode with two times", [3, { mtime: 1 }]],
    ["a leader that leads nobody", [3, { leader: 4 }]],
    ["a whole layer whose root alone is shadowed", [5, { flags: Flag.whiteout | Flag.sparse }]],
  ] satisfies [string, [number, Partial<SidecarEntry>]][]) {
    it(`\`verifySidecar()\` refuses ${what}`, async () => {
      const [number, fields] = change;
      const entries = small.entries.map((entry, other) => (other === number ? { ...entry, ...fields } : entry));
      await assert.rejects(verifySidecar(await encodeSidecar({ ...small, entries, indexed: true })), SidecarError);
    });
  }

  it("`verifySidecar()` accepts a whiteout with all that its marker in the tar has", async () => {
    const marker = { mode: 0o644, uid: 7, mtime: 9, rdevMajor: 1, rdevMinor: 3, xattrs: [xattr("user.a", "b")] };
    const data = { size: 3, offset: 4096, chunk: 0 };
    const entries = small.entries.map((entry, number) => (number === 5 ? { ...entry, ...marker, ...data } : entry));
    for (const indexed of [true, false]) {
      const bytes = await encodeSidecar({ ...small, entries, indexed });
      assert.equal((await verifySidecar(bytes)).live, 6);
      using sidecar = await Sidecar.fromBytes(bytes);
      assert.equal(sidecar.hasData(5), true);
    }
  });

  it("`verifySidecar()` refuses an order that is no permutation, or that data does not follow", async () => {
    const files = [entryOf("a", { size: 1, offset: 512, chunk: 0 }), entryOf("b", { size: 1, offset: 1536, chunk: 1 })];
    const layer = layerOf([root, ...files]);
    for (const order of [
      [0, 1, 1],
      [0, 2, 1],
    ])
      await assert.rejects(verifySidecar(await encodeSidecar({ ...layer, order: Uint32Array.from(order), indexed: true })), SidecarError);
    await verifySidecar(await encodeSidecar({ ...layer, indexed: true }));
  });

  it("`verifySidecar()` refuses chunks that are equal, unused, or not in the order of first use", async () => {
    const files = [entryOf("a", { size: 1, offset: 512, chunk: 1 }), entryOf("b", { size: 1, offset: 1536, chunk: 0 })];
    await assert.rejects(verifySidecar(await encodeSidecar({ ...layerOf([root, ...files]), indexed: true })), SidecarError);
    const one = layerOf([root, entryOf("a", { size: 1, offset: 512, chunk: 0 })]);
    await assert.rejects(verifySidecar(await encodeSidecar({ ...one, chunks: Buffer.alloc(64, "ab"), indexed: true })), SidecarError);
    const two = layerOf([root, entryOf("a", { size: 1, offset: 512, chunk: 0 }), entryOf("b", { size: 1, offset: 1536, chunk: 1 })]);
    await assert.rejects(verifySidecar(await encodeSidecar({ ...two, chunks: Buffer.alloc(64), indexed: true })), SidecarError);
  });
});

async function readAll(bytes: Buffer): Promise<void> {
  using sidecar = await Sidecar.fromBytes(bytes);
  for (const path of ["d", "d/l", "zz/zz", "d/w/x"]) {
    sidecar.lookup(path);
    sidecar.readdir(path);
  }
  await outcome(async () => [...sidecar.withPrefix("d")]);
  await outcome(async () => [...sidecar.entriesInTarOrder()]);
  for (let entry = 0; entry < sidecar.count; entry++) await outcome(async () => sidecar.entry(entry));
}

/** Whether it succeeds; any outcome will do but an error of another class. */
async function outcome(read: () => Promise<unknown>): Promise<boolean> {
  try {
    await read();
    return true;
  } catch (error) {
    assert.ok(error instanceof SidecarError, String(error));
    return false;
  }
}
