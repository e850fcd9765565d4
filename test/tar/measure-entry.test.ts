import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ShaleError } from "../../src/errors.ts";
import { measureEntry } from "../../src/tar/measure-entry.ts";
import { readEntry } from "../../src/tar/read-entry.ts";
import type { ScanOptions } from "../../src/tar/scan.ts";
import { base256, END, GNU, longText, padded, paxHeader, rawEntry, V7 } from "./raw-header.ts";

type Outcome =
  | { readonly data: number; readonly end: number; readonly stored: number; readonly size: number }
  | "more"
  | "end"
  | { readonly error: string };

/** Only a ShaleError is an outcome; anything else fails the test. */
function outcome(walk: typeof readEntry | typeof measureEntry, args: readonly [Buffer, number, number, ScanOptions?]): Outcome {
  try {
    const found = walk(...args);
    return typeof found === "string" ? found : { data: found.data, end: found.end, stored: found.stored, size: found.size };
  } catch (error) {
    if (!ShaleError.is(error)) throw error;
    return { error: `${error.code} ${error.message}` };
  }
}

const text = fc.constantFrom("", "a", "dir/", "a/b", "\xff\xfe", "x\0y", "n".repeat(100), "../x", "1", "0,512", "12.5", "-1.5");
const number = fc.oneof(
  fc.nat(1024),
  fc.constantFrom("", " 17 ", "junk", "8", "\xff\xff"),
  fc.bigInt(-(2n ** 62n), 2n ** 62n).map((value) => base256(value, 8)),
);
const SPARSE_KEYS = ["major", "minor", "name", "realsize", "numblocks", "map", "offset", "numbytes"].map((name) => `GNU.sparse.${name}`);
const XATTR_KEYS = ["SCHILY.xattr.user.a", "LIBARCHIVE.xattr.user.b"] as const;
const key = fc.constantFrom("path", "linkpath", "size", "uid", "mtime", "atime", "comment", ...XATTR_KEYS, ...SPARSE_KEYS);
const value = fc.oneof(text, fc.nat(5000).map(String), fc.constantFrom("0", "1"));
const extension = fc.oneof(
  fc
    .tuple(fc.array(fc.tuple(key, value), { maxLength: 6 }), fc.constantFrom("x", "x", "x", "g"))
    .map(([records, typeflag]) => paxHeader(records, { typeflag })),
  fc.tuple(fc.constantFrom("L" as const, "K" as const), text).map(([typeflag, name]) => longText(typeflag, name)),
);
const header = fc
  .record({
    name: text,
    typeflag: fc.constantFrom(..."000\u00001234567SVDZ".split("")),
    magic: fc.constantFrom(undefined, GNU, V7),
    prefix: text,
    mode: number,
    uid: fc.oneof({ weight: 5, arbitrary: fc.nat(9) }, { weight: 1, arbitrary: number }),
    devMajor: fc.nat(300),
  })
  .map(({ magic, ...fields }) => (magic === undefined ? fields : { ...fields, magic }));
const plain = fc.tuple(header, fc.nat(700)).map(([fields, length]) => rawEntry(fields, Buffer.alloc(length, "1\n")));
const sparse = fc.array(fc.tuple(fc.nat(3), fc.nat(2)), { maxLength: 30 }).map((steps) => {
  let end = 0;
  const extents = steps.map(([gap, length]): [number, number] => {
    const offset = end + gap;
    end = offset + length;
    return [offset, length];
  });
  const stored = extents.reduce((sum, [, length]) => sum + length, 0);
  const lines = [extents.length, ...extents.flat()].map((line) => `${line}\n`).join("");
  const records = [
    ["GNU.sparse.major", "1"],
    ["GNU.sparse.minor", "0"],
    ["GNU.sparse.realsize", String(end + 5)],
  ] as const;
  return Buffer.concat([paxHeader(records), rawEntry({}, Buffer.concat([padded(Buffer.from(lines)), Buffer.alloc(stored, "d")]))]);
});
const archive = fc
  .tuple(fc.array(fc.oneof(extension, plain, sparse), { maxLength: 5 }), fc.nat(1024))
  .map(([parts, zeros]) => Buffer.concat([...parts, END.subarray(zeros)]));

/** Bytes overwritten; `mends` says whether the checksum of the block is put right, so that the change is looked at. */
const mutations = fc.array(fc.record({ at: fc.nat(8192), byte: fc.nat(255), mends: fc.boolean() }), { maxLength: 4 });

function mutate(bytes: Buffer, changes: readonly { at: number; byte: number; mends: boolean }[]): Buffer {
  const mutated = Buffer.from(bytes);
  for (const { at, byte, mends } of changes) {
    if (at >= mutated.length) continue;
    mutated[at] = byte;
    const block = mutated.subarray(at - (at % 512), at - (at % 512) + 512);
    if (mends && block.length === 512) mend(block);
  }
  return mutated;
}

function mend(block: Buffer): void {
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}

test("`measureEntry()` agrees with `readEntry()` on every archive, whole, damaged or cut short", () => {
  fc.assert(
    fc.property(archive, mutations, fc.nat(8192), fc.boolean(), (clean, changes, cut, final) => {
      const bytes = mutate(clean, changes);
      const limit = Math.min(bytes.length, cut);
      for (const end of [limit, bytes.length]) {
        for (let start = 0; start <= end;) {
          const args = [bytes, start, end, { final, base: 512, headerLimit: 4096 }] as const;
          const found = outcome(readEntry, args);
          assert.deepEqual(outcome(measureEntry, args), found);
          if (typeof found === "string" || "error" in found) break;
          assert.ok(found.data > start && found.data <= found.end && found.end % 512 === 0 && found.data + found.stored <= found.end);
          start = found.end;
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test("`measureEntry()` says the same of an entry however much follows it", () => {
  fc.assert(
    fc.property(archive, mutations, fc.nat(6000), (clean, changes, cut) => {
      const bytes = mutate(clean, changes);
      const early = outcome(measureEntry, [bytes, 0, Math.min(cut, bytes.length)]);
      if (early !== "more") assert.deepEqual(outcome(measureEntry, [bytes, 0, bytes.length]), early);
    }),
    { numRuns: 1000 },
  );
});

test("`measureEntry()` and `readEntry()` survive bytes that are no archive", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2048 }), fc.boolean(), (noise, mends) => {
      const bytes = Buffer.from(noise);
      if (mends && bytes.length >= 512) mend(bytes.subarray(0, 512));
      const args = [bytes, 0, bytes.length, { final: true }] as const;
      assert.deepEqual(outcome(measureEntry, args), outcome(readEntry, args));
    }),
    { numRuns: 1000 },
  );
});
