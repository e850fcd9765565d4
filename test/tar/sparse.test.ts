import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Extent, TarEntry } from "../../src/tar/entry.ts";
import { readEntry } from "../../src/tar/read-entry.ts";
import { base256, END, GNU, padded, paxHeader, rawEntry, type RawFields, rawHeader } from "./raw-header.ts";
import { refuses } from "./refuses.ts";

type Pairs = readonly (readonly [offset: number, length: number])[];

function read(buffer: Buffer, limit: number = buffer.length): TarEntry {
  const entry = readEntry(buffer, 0, limit);
  assert.ok(typeof entry === "object");
  return entry;
}

const extents = (pairs: Pairs): Extent[] => pairs.map(([offset, length]) => ({ offset, length }));
const total = (pairs: Pairs): number => pairs.reduce((sum, [, length]) => sum + length, 0);
const PAIRS: Pairs = [
  [0, 512],
  [1024, 512],
  [4096, 100],
];

/** Version 0.0: one record for each number. */
function sparse00(pairs: Pairs, size: number, fields: RawFields = {}): Buffer {
  const map = pairs.flatMap(
    ([offset, length]) =>
      [
        ["GNU.sparse.offset", `${offset}`],
        ["GNU.sparse.numbytes", `${length}`],
      ] as const,
  );
  const records = [["GNU.sparse.size", `${size}`], ["GNU.sparse.numblocks", `${pairs.length}`], ...map] as const;
  return Buffer.concat([paxHeader(records), rawEntry(fields, Buffer.alloc(total(pairs), "d")), END]);
}

function sparse01(map: string, { count, size, stored }: { count: number; size: number; stored: number }): Buffer {
  const records = [
    ["GNU.sparse.major", "0"],
    ["GNU.sparse.minor", "1"],
    ["GNU.sparse.name", "real/name"],
    ["GNU.sparse.size", `${size}`],
    ["GNU.sparse.numblocks", `${count}`],
    ["GNU.sparse.map", map],
  ] as const;
  return Buffer.concat([paxHeader(records), rawEntry({ name: "GNUSparseFile.0/name" }, Buffer.alloc(stored, "d")), END]);
}

/** Version 1.0; the map's text is given. */
function sparse10(map: string, size: number, stored: number): Buffer {
  const records = [
    ["GNU.sparse.major", "1"],
    ["GNU.sparse.minor", "0"],
    ["GNU.sparse.name", "real/name"],
    ["GNU.sparse.realsize", `${size}`],
  ] as const;
  return Buffer.concat([paxHeader(records), rawEntry({}, Buffer.concat([padded(Buffer.from(map)), Buffer.alloc(stored, "d")])), END]);
}

const lines = (pairs: Pairs): string => [pairs.length, ...pairs.flat()].map((number) => `${number}\n`).join("");

function sparseOld(pairs: Pairs, size: number | Buffer, fields: RawFields = {}): Buffer {
  const slots = pairs.map(([offset, length]) => Buffer.concat([base256(BigInt(offset), 12), base256(BigInt(length), 12)]));
  const blocks: Buffer[] = [];
  for (let i = 4; i < slots.length; i += 21) {
    const isLast = i + 21 >= slots.length;
    blocks.push(padded(Buffer.concat([...slots.slice(i, i + 21), Buffer.of(isLast ? 0 : 1)])));
  }
  const real = typeof size === "number" ? base256(BigInt(size), 12) : size;
  const patches = { 386: Buffer.concat(slots.slice(0, 4)), 482: Buffer.of(blocks.length > 0 ? 1 : 0), 483: real };
  const header = rawHeader({ typeflag: "S", magic: GNU, size: total(pairs), patches, ...fields });
  return Buffer.concat([header, ...blocks, padded(Buffer.alloc(total(pairs), "d")), END]);
}

describe("readEntry() and sparse files", () => {
  test("`readEntry()` reads the map of every format to the same extents", () => {
    const map = PAIRS.flat().join(",");
    const archives = [
      [sparse00(PAIRS, 5000), "file", 0],
      [sparse01(map, { count: 3, size: 5000, stored: 1124 }), "real/name", 0],
      [sparse10(lines(PAIRS), 5000, 1124), "real/name", 512],
      [sparseOld(PAIRS, 5000), "file", 0],
    ] as const;
    for (const [archive, path, mapLength] of archives) {
      const entry = read(archive);
      assert.deepEqual([entry.kind, entry.path, entry.size, entry.stored], ["file", path, 5000, 1124]);
      assert.deepEqual(entry.sparse, extents(PAIRS));
      assert.equal(archive[entry.data], "d".charCodeAt(0));
      assert.equal(archive[entry.data - 1] === "d".charCodeAt(0), false);
      assert.equal(readEntry(archive, entry.end, archive.length), "end");
      assert.ok(entry.data - entry.start >= 512 + mapLength);
    }
  });

  test("`readEntry()` drops empty extents and reads a file that is one hole", () => {
    assert.deepEqual(
      read(
        sparse10(
          lines([
            [0, 512],
            [900, 0],
          ]),
          900,
          512,
        ),
      ).sparse,
      extents([[0, 512]]),
    );
    const hole = read(sparse10("0\n", 2 ** 40, 0));
    assert.deepEqual([hole.size, hole.stored, hole.sparse], [2 ** 40, 0, []]);
    assert.deepEqual(read(sparse01("", { count: 0, size: 10, stored: 0 })).sparse, []);
  });

  test("`readEntry()` follows the extension blocks of old GNU maps", () => {
    const pairs = Array.from({ length: 60 }, (_, i) => [i * 2048, 512] as const);
    const archive = sparseOld(pairs, 60 * 2048);
    const entry = read(archive);
    assert.deepEqual(entry.sparse, extents(pairs));
    assert.deepEqual([entry.data, entry.stored, entry.end], [512 + 3 * 512, 60 * 512, archive.length - 1024]);
    for (const limit of [512, 1024, 2047]) assert.equal(readEntry(archive, 0, limit), "more");
    assert.equal(read(archive, 2048).data, 2048);
    refuses(() => readEntry(archive, 0, 1024, { final: true }), "TAR_INVALID");
  });

  test("`readEntry()` asks for more until the map before the data is whole", () => {
    const pairs = Array.from({ length: 200 }, (_, i) => [i * 2048, 512] as const);
    const archive = sparse10(lines(pairs), 200 * 2048, 200 * 512);
    const { data } = read(archive);
    for (let limit = 1536; limit < data; limit += 256) assert.equal(readEntry(archive, 0, limit), "more");
    assert.deepEqual(read(archive, data).sparse, extents(pairs));
    refuses(() => readEntry(archive, 0, data - 1, { final: true }), "TAR_INVALID");
  });

  test("`readEntry()` reads a file of an unknown sparse version as it is packed", () => {
    const records = [
      ["GNU.sparse.major", "2"],
      ["GNU.sparse.minor", "0"],
      ["GNU.sparse.name", "real"],
    ] as const;
    const entry = read(Buffer.concat([paxHeader(records), rawEntry({ name: "packed" }, "data")]));
    assert.deepEqual([entry.path, entry.size, entry.sparse], ["packed", 4, undefined]);
  });
});

describe("readEntry() and hostile sparse maps", () => {
  test("`readEntry()` refuses extents that overlap, run backwards, are negative or leave the file", () => {
    const bad: Pairs[] = [
      [
        [0, 512],
        [256, 512],
      ],
      [
        [1024, 512],
        [0, 512],
      ],
      [[4096, 1024]],
      [[5001, 0]],
      [[Number.MAX_SAFE_INTEGER, 512]],
    ];
    for (const pairs of bad) {
      refuses(() => read(sparse00(pairs, 5000)), "TAR_INVALID");
      refuses(() => read(sparse10(lines(pairs), 5000, total(pairs))), "TAR_INVALID");
      refuses(() => read(sparseOld(pairs, 5000)), "TAR_INVALID");
    }
    refuses(() => read(sparse01("-512,512", { count: 1, size: 5000, stored: 512 })), "TAR_INVALID");
    refuses(() => read(sparse01("600,-88,100,600", { count: 2, size: 5000, stored: 512 })), "TAR_INVALID");
  });

  test("`readEntry()` refuses a map that covers more or less than what is stored", () => {
    for (const stored of [0, 511, 513, 1024]) refuses(() => read(sparse01("0,512", { count: 1, size: 5000, stored })), "TAR_INVALID");
    refuses(() => read(sparseOld(PAIRS, 5000, { size: 1123 })), "TAR_INVALID");
  });

  test("`readEntry()` refuses malformed maps and sizes", () => {
    for (const map of ["0,512,", "0;512", "0", "x,512", ",512"])
      refuses(() => read(sparse01(map, { count: 1, size: 5000, stored: 512 })), "TAR_INVALID");
    for (const count of [0, 2, -1]) refuses(() => read(sparse01("0,512", { count, size: 5000, stored: 512 })), "TAR_INVALID");
    for (const map of ["", "x\n", "-1\n", "1\n0\n", "1\n0\nx\n", "1\n\n512\n"]) refuses(() => read(sparse10(map, 5000, 0)), "TAR_INVALID");
    for (const size of [-1, 2 ** 53]) refuses(() => read(sparse01("", { count: 0, size, stored: 0 })), "TAR_INVALID");
    refuses(() => read(sparseOld([], base256(-1n, 12))), "TAR_INVALID");
    refuses(() => read(sparseOld([], Buffer.from("junk"))), "TAR_INVALID");
  });

  test("`readEntry()` refuses sparse records out of order, even where nothing is sparse", () => {
    for (const keys of [["numbytes"], ["offset", "offset"]]) {
      const records = keys.map((key) => [`GNU.sparse.${key}`, "0"] as const);
      refuses(() => read(Buffer.concat([paxHeader(records), rawHeader({ typeflag: "5" })])), "TAR_INVALID");
    }
    refuses(() => read(Buffer.concat([paxHeader([["GNU.sparse.offset", "0,1"]]), rawHeader()])), "TAR_INVALID");
  });

  test("`readEntry()` refuses sparse types that are no GNU file", () => {
    refuses(() => read(sparseOld(PAIRS, 5000, { magic: "ustar\x0000" })), "TAR_INVALID");
    refuses(() => read(sparse00(PAIRS, 5000, { typeflag: "5" })), "TAR_INVALID");
  });

  test("`readEntry()` refuses a wild count of extents before it waits for them", () => {
    const huge = sparse10("1000000000\n", 5000, 4096);
    refuses(() => readEntry(huge, 0, 2048), "TAR_INVALID");
    const records = [
      ["GNU.sparse.major", "1"],
      ["GNU.sparse.minor", "0"],
    ] as const;
    const claim = Buffer.concat([paxHeader(records), rawHeader({ size: 2 ** 32 }), padded(Buffer.from("1000000000\n"))]);
    refuses(() => readEntry(claim, 0, claim.length), "LIMIT_HEADER_BYTES");
  });

  test("`readEntry()` bounds extension blocks and maps by the limit on headers", () => {
    const pairs = Array.from({ length: 4000 }, (_, i) => [i * 2, 1] as const);
    const old = sparseOld(pairs, 8000);
    assert.equal(read(old).stored, 4000);
    refuses(() => readEntry(old, 0, old.length, { headerLimit: 64 * 1024 }), "LIMIT_HEADER_BYTES");
    const leading = sparse10(lines(pairs), 8000, 4000);
    assert.equal(read(leading).stored, 4000);
    refuses(() => readEntry(leading, 0, leading.length, { headerLimit: 20 * 1024 }), "LIMIT_HEADER_BYTES");
  });
});
