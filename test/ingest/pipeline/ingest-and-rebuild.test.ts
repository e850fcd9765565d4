/** What goes in comes out: a layer is rebuilt from the store byte for byte, wherever slabs are cut. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { layerFromTar } from "../../../src/testing/index.ts";
import { rebuildLayer } from "../../support/rebuild-layer.ts";
import { startStore, type StoreHarness } from "../../support/store-harness.ts";
import { END, GNU, longText, rawEntry, rawHeader } from "../../tar/raw-header.ts";

const MIB = 1024 * 1024;

const size: fc.Arbitrary<number> = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(0, 1, 511, 512, 513, 1024, 3000) },
  { weight: 2, arbitrary: fc.integer({ min: MIB - 1024, max: MIB + 1024 }) },
  { weight: 1, arbitrary: fc.constantFrom(MIB - 512, MIB - 511, MIB - 513, MIB, MIB + 512, 2 * MIB - 512, 3 * MIB) },
);

interface File {
  readonly size: number;
  readonly seed: number;
  readonly long: boolean;
}

const layers = fc.record({
  files: fc.array(fc.record({ size, seed: fc.nat(5), long: fc.nat(9).map((dice) => dice === 0) }), { maxLength: 14 }),
  end: fc.constantFrom("two blocks", "one block", "none", "megabytes", "garbage"),
  compression: fc.constantFrom("gzip" as const, "none" as const, "zstd" as const),
});

test("An ingested layer is rebuilt from chunks, sidecar and headers to the bytes of its diff ID, however its entries fall on slabs", async () => {
  await using harness = await startStore();
  await fc.assert(
    fc.asyncProperty(layers, ({ files, end, compression }) => roundTrip(harness, { files, end: ending(end), compression })),
    { numRuns: 30 },
  );
});

test("An ingested layer comes back whole for a second entry at every block around the end of the first slab", async () => {
  await using harness = await startStore();
  for (let blocks = -4; blocks <= 4; blocks++) {
    for (const second of [0, 1, 512, 5000, MIB - 512, MIB, MIB + 1]) {
      const first = MIB - 1024 + blocks * 512;
      const files = [
        { size: first, seed: 1, long: false },
        { size: second, seed: 2, long: blocks === 1 },
      ];
      await roundTrip(harness, { files, end: END, compression: "none" });
    }
  }
});

test("An ingested layer comes back whole after a file of more than a slab that ends within another's headers", async () => {
  await using harness = await startStore();
  for (const extra of [-1024, -512, -1, 0, 1, 512, 1024]) {
    const sizes = [MIB + extra, 10, 2 * MIB + extra, 0, 4096, MIB - 512 + extra];
    const files = sizes.map((bytes, seed) => ({ size: bytes, seed, long: true }));
    await roundTrip(harness, { files, end: END, compression: "none" });
    await roundTrip(harness, { files, end: Buffer.alloc(0), compression: "none" });
  }
});

interface Case {
  readonly files: readonly File[];
  readonly end: Buffer;
  readonly compression: "gzip" | "none" | "zstd";
}

async function roundTrip(harness: StoreHarness, { files, end, compression }: Case): Promise<void> {
  const entries = files.map((file, index) => ({
    name: `${file.long ? "x".repeat(150) : "d"}/file-${index}`,
    content: content(file),
    index,
  }));
  const tar = Buffer.concat([...entries.map(packed), end]);
  const layer = layerFromTar(tar, { compression });
  const { reference } = harness.push("round/trip", [layer]);
  const image = await harness.pull(reference, { pullPolicy: "always" });
  const rebuilt = await rebuildLayer(harness.path, layer.diffId);
  assert.equal(rebuilt.length, tar.length);
  assert.ok(rebuilt.equals(tar));
  for (const { name, content: expected } of entries) assert.ok(readFileSync(join(image.layers[0]!, name)).equals(expected), name);
  rmSync(harness.file("trees"), { recursive: true });
  mkdirSync(harness.file("trees"));
}

const contents: Map<string, Buffer> = new Map();

/** Not of one byte, or a cut in a wrong place would not show; the same for the same size and seed, so that chunks repeat. */
function content({ size: bytes, seed }: File): Buffer {
  const key = `${bytes} ${seed}`;
  const known = contents.get(key);
  if (known) return known;
  const made = Buffer.alloc(bytes);
  for (let at = 0, state = seed + 1; at < bytes; at++) made[at] = (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) >>> 16;
  contents.set(key, made);
  return made;
}

function packed({ name, content: data, index }: { name: string; content: Buffer; index: number }): Buffer {
  if (name.length < 100) return rawEntry({ name, mtime: index % 3 }, data);
  return Buffer.concat([longText("L", name), rawEntry({ name: "cut", magic: GNU }, data)]);
}

function ending(kind: string): Buffer {
  if (kind === "two blocks") return END;
  if (kind === "one block") return Buffer.alloc(512);
  if (kind === "none") return Buffer.alloc(0);
  if (kind === "megabytes") return Buffer.alloc(2 * MIB + 512);
  return Buffer.concat([END, Buffer.from("bytes that belong to no entry"), rawHeader({ name: "smuggled" })]);
}
