/** Entries that are larger than a slab in unusual ways, and sparse files. */
import assert from "node:assert/strict";
import { mkdirSync, openSync, closeSync, readFileSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ShaleError } from "../../../src/index.ts";
import { layerFromTar } from "../../../src/testing/index.ts";
import { rebuildLayer } from "../../support/rebuild-layer.ts";
import { run } from "../../support/run.ts";
import { startStore } from "../../support/store-harness.ts";
import { END, longText, paxHeader, rawEntry, rawHeader } from "../../tar/raw-header.ts";

const MIB = 1024 * 1024;

for (const format of ["gnu", "posix"]) {
  test(`Sparse files of GNU tar (${format}) are unpacked with their holes, and rebuilt byte for byte`, async () => {
    await using harness = await startStore();
    const source = harness.file("../source");
    mkdirSync(source);
    const files: Record<string, [size: number, extents: (readonly [number, number])[]]> = {
      "all-hole": [3 * MIB, []],
      "at-the-end": [2 * MIB, [[2 * MIB - 5000, 5000]]],
      "at-the-start": [2 * MIB + 1, [[0, 4096]]],
      many: [40 * MIB, Array.from({ length: 300 }, (_, index) => [index * 128 * 1024 + 4096, 4096] as const)],
      "more-than-a-slab": [
        20 * MIB,
        [
          [MIB, 3 * MIB],
          [9 * MIB, MIB + 4096],
          [15 * MIB, 2 * MIB],
        ],
      ],
      plain: [10_000, [[0, 10_000]]],
      tiny: [8192, [[4096, 10]]],
    };
    for (const [name, [size, extents]] of Object.entries(files)) {
      writeFileSync(join(source, name), "");
      truncateSync(join(source, name), size);
      const fd = openSync(join(source, name), "r+");
      for (const [offset, length] of extents) writeSync(fd, Buffer.alloc(length, `${name} ${offset} `), 0, length, offset);
      closeSync(fd);
    }
    const tar = await run("tar", ["-C", source, "--sparse", `--format=${format}`, "--sort=name", "-cf", "-", "."]);
    const layer = layerFromTar(tar);
    const { layers } = await harness.pull(harness.push(`sparse/${format}`, [layer]).reference);
    for (const name of Object.keys(files)) {
      assert.ok(readFileSync(join(layers[0]!, name)).equals(readFileSync(join(source, name))), name);
    }
    assert.ok(statSync(join(layers[0]!, "many")).blocks * 512 < 10 * MIB);
    assert.ok((await rebuildLayer(harness.path, layer.diffId)).equals(tar));
  });
}

const comment = (size: number): Buffer => paxHeader([["comment", "x".repeat(size)]]);
const globalComment = (size: number): Buffer => paxHeader([["comment", "x".repeat(size)]], { typeflag: "g" });
const before = rawEntry({ name: "before" }, Buffer.alloc(600_000, "b"));
const after = rawEntry({ name: "after" }, "after");

const CASES: readonly { name: string; tar: Buffer; refused?: boolean }[] = [
  {
    name: "300 KiB of PAX header that lie across slabs",
    tar: Buffer.concat([before, comment(300_000), before, comment(300_000), after, END]),
  },
  { name: "900 KiB of PAX header", tar: Buffer.concat([before, comment(900_000), after, END]) },
  { name: "900 KiB of global PAX header", tar: Buffer.concat([before, globalComment(900_000), after, END]) },
  {
    name: "global PAX headers after one another",
    tar: Buffer.concat([globalComment(500_000), globalComment(500_000), globalComment(500_000), after, END]),
  },
  {
    name: "a PAX header just below a slab before a large file",
    tar: Buffer.concat([comment(MIB - 3000), rawEntry({ name: "after" }, Buffer.alloc(3 * MIB, "l")), END]),
  },
  { name: "a global PAX header of a slab and more", tar: Buffer.concat([globalComment(MIB - 100), after, END]), refused: true },
  { name: "a PAX header of 64 MiB", tar: Buffer.concat([comment(64 * MIB), after, END]), refused: true },
  { name: "a long name of 2 GiB", tar: rawHeader({ name: "././@LongLink", typeflag: "L", size: 2 ** 31 }), refused: true },
  {
    name: "a file of 2^60 bytes",
    tar: rawHeader({ name: "huge", size: Buffer.from("80000000100000000000000000000000".slice(0, 24), "hex") }),
    refused: true,
  },
  {
    name: "20,000 chained long names",
    tar: Buffer.concat([...Array.from({ length: 20_000 }, () => longText("L", "name")), after, END]),
    refused: true,
  },
  { name: "a volume label with data", tar: Buffer.concat([rawHeader({ name: "label", typeflag: "V" }), after, END]) },
  { name: "a directory with data", tar: Buffer.concat([rawEntry({ name: "d/", typeflag: "5" }), after, END]) },
  { name: "nothing but a header block of spaces", tar: Buffer.alloc(512, " "), refused: true },
];

for (const { name, tar, refused } of CASES) {
  test(`A layer with ${name} is ${refused ? "refused, and the next one pulls" : "ingested and rebuilt"}`, { timeout: 20_000 }, async () => {
    await using harness = await startStore();
    const layer = layerFromTar(tar);
    const { error, image } = await harness.watch(harness.push("edge/case", [layer]).reference);
    if (refused) {
      assert.ok(ShaleError.is(error) && (error.code === "TAR_INVALID" || error.code.startsWith("LIMIT_")), String(error));
      const next = await harness.pushEntries("next/one", [{ path: "f", content: "x" }]);
      await harness.pull(next.reference);
      assert.deepEqual(harness.staged(), []);
    } else {
      assert.equal(error, undefined, String(error));
      assert.ok(readFileSync(join(image!.layers[0]!, "after")).length >= 5);
      assert.ok((await rebuildLayer(harness.path, layer.diffId)).equals(tar));
    }
  });
}
