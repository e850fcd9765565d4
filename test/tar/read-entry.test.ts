import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TarEntry } from "../../src/tar/entry.ts";
import { readEntry } from "../../src/tar/read-entry.ts";
import { base256, END, GNU, longText, paxHeader, paxRecord, rawEntry, type RawFields, rawHeader, V7 } from "./raw-header.ts";
import { refuses } from "./refuses.ts";

type Records = Parameters<typeof paxHeader>[0];

function read(...parts: readonly Buffer[]): TarEntry {
  const buffer = Buffer.concat([...parts, END]);
  const entry = readEntry(buffer, 0, buffer.length);
  assert.ok(typeof entry === "object");
  return entry;
}

const readFields = (fields: RawFields): TarEntry => read(rawHeader(fields));
const readPax = (records: Records, fields: RawFields = {}): TarEntry => read(paxHeader(records), rawHeader(fields));
const refusesFields = (fields: RawFields) => refuses(() => readFields(fields), "TAR_INVALID");
const refusesPax = (records: Records, fields: RawFields = {}) => refuses(() => readPax(records, fields), "TAR_INVALID");

describe("readEntry() and the fields of a header", () => {
  test("`readEntry()` decodes every field of a USTAR header", () => {
    const fields = { name: "bin/x", mode: 0o104755, uid: 7, gid: 8, mtime: 9, prefix: "usr/local" };
    const { start, data, end, ...rest } = read(rawEntry(fields, "hello"));
    assert.deepEqual([start, data, end], [0, 512, 1024]);
    assert.deepEqual(rest, {
      kind: "file",
      path: "usr/local/bin/x",
      linkPath: "",
      mode: 0o4755,
      uid: 7,
      gid: 8,
      devMajor: 0,
      devMinor: 0,
      mtime: 9,
      mtimeNs: 0,
      xattrs: [],
      size: 5,
      stored: 5,
    });
  });

  test("`readEntry()` takes offsets from where it is told to start", () => {
    const buffer = Buffer.concat([rawEntry({}, "abc"), rawEntry({ name: "second" }, "d"), END]);
    const entry = readEntry(buffer, 1024, buffer.length) as TarEntry;
    assert.deepEqual([entry.path, entry.start, entry.data, entry.end], ["second", 1024, 1536, 2048]);
  });

  test("`readEntry()` tells the types apart", () => {
    const kinds = ["0", "\0", "7", "1", "2", "3", "4", "5", "6"].map((typeflag) => readFields({ typeflag }).kind);
    assert.deepEqual(kinds, ["file", "file", "file", "hardlink", "symlink", "char", "block", "directory", "fifo"]);
  });

  test("`readEntry()` takes a slash at the end for a directory only where the type is NUL", () => {
    assert.equal(readFields({ name: "d/", typeflag: "\0", magic: V7 }).kind, "directory");
    assert.equal(readFields({ name: "d/", typeflag: "0" }).kind, "file");
    assert.equal(readPax([["path", "d/"]], { typeflag: "\0" }).kind, "directory");
    assert.equal(readPax([["path", "d"]], { name: "d/", typeflag: "\0" }).kind, "file");
    assert.equal(readFields({ name: "", prefix: "d", typeflag: "\0" }).kind, "directory");
  });

  test("`readEntry()` gives header-only types no data, whatever their size field says", () => {
    for (const typeflag of ["1", "2", "3", "4", "5", "6"]) {
      for (const size of [4096, base256(-1n, 12), base256(1n << 60n, 12)]) {
        const { data, end, stored, size: unpacked } = readFields({ typeflag, size });
        assert.deepEqual([data, end, stored, unpacked], [512, 512, 0, 0]);
      }
    }
    const directory = readFields({ name: "d/", typeflag: "\0", size: 4096 });
    assert.deepEqual([directory.end, directory.stored], [512, 0]);
  });

  test("`readEntry()` keeps names byte for byte and ends them at a NUL", () => {
    assert.equal(readFields({ name: "caf\xe9\xff" }).path, "caf\xe9\xff");
    assert.equal(readFields({ name: "a\0b" }).path, "a");
    assert.equal(readFields({ name: "n".repeat(100), prefix: "p".repeat(155) }).path, `${"p".repeat(155)}/${"n".repeat(100)}`);
    assert.equal(readFields({ typeflag: "2", linkName: "l".repeat(100) }).linkPath, "l".repeat(100));
  });

  test("`readEntry()` knows no prefix in V7 and GNU headers, a shorter one in star's", () => {
    assert.equal(readFields({ name: "n", prefix: "p", magic: V7 }).path, "n");
    assert.equal(readFields({ name: "n", magic: GNU, patches: { 345: "00000000001\0" } }).path, "n");
    const star = { 508: "tar\0", 476: "00000000001 ", 488: "00000000001 " };
    assert.equal(readFields({ name: "n", prefix: "p".repeat(131), patches: star }).path, `${"p".repeat(131)}/n`);
    refusesFields({ patches: { ...star, 476: "no time" } });
  });

  test("`readEntry()` takes an ASCII prefix from a GNU header that has no times there, as old Go writers left it", () => {
    assert.equal(readFields({ name: "n", prefix: "some/where", magic: GNU }).path, "some/where/n");
    assert.equal(readFields({ name: "n", prefix: "caf\xe9/where", magic: GNU }).path, "n");
  });

  test("`readEntry()` gives device numbers to devices alone", () => {
    const device = { devMajor: 8, devMinor: base256(70_000n, 8) };
    const { devMajor, devMinor } = readFields({ typeflag: "4", ...device });
    assert.deepEqual([devMajor, devMinor], [8, 70_000]);
    assert.equal(readFields({ typeflag: "0", ...device }).devMajor, 0);
    assert.equal(readFields({ typeflag: "3", magic: V7, ...device }).devMajor, 0);
    refusesFields({ typeflag: "3", devMajor: 4096 });
    refusesFields({ typeflag: "3", devMinor: base256(-1n, 8) });
  });
});

describe("readEntry() and numbers", () => {
  test("`readEntry()` accepts octal between spaces and NULs", () => {
    const spellings = ["17", "0000017\0", "     17 ", "\0\0 17 \0", "17\0junk", "0000017 "];
    for (const uid of spellings) assert.equal(readFields({ uid }).uid, 0o17, JSON.stringify(uid));
    for (const uid of ["", "\0\0\0\0\0\0\0\0", "        "]) assert.equal(readFields({ uid }).uid, 0);
  });

  test("`readEntry()` refuses what is not octal in any number of any format", () => {
    for (const value of ["8", "0x10", "1e3", "-1", "+1", "1 2", "1_0", "\x01"]) refusesFields({ uid: value });
    for (const field of ["mode", "uid", "gid", "size", "mtime", "devMajor", "devMinor"]) {
      refusesFields({ [field]: "junk" });
      refusesFields({ [field]: "junk", typeflag: "5", magic: GNU });
    }
    assert.equal(readFields({ devMajor: "junk", magic: V7 }).kind, "file");
  });

  test("`readEntry()` reads base-256 exactly, negative too", () => {
    assert.equal(readFields({ mtime: base256(-1n, 12) }).mtime, -1);
    assert.equal(readFields({ mtime: base256(-(2n ** 40n), 12) }).mtime, -(2 ** 40));
    assert.equal(readFields({ uid: base256(4_294_967_294n, 8) }).uid, 4_294_967_294);
    const entry = readFields({ size: base256(5_000_000_000_000n, 12) });
    assert.deepEqual([entry.size, entry.stored, entry.end], [5e12, 5e12, 512 + Math.ceil(5e12 / 512) * 512]);
  });

  test("`readEntry()` keeps the low bits of a mode that is too large for a double", () => {
    assert.equal(readFields({ mode: base256((1n << 62n) + 0o6755n, 8) }).mode, 0o6755);
    assert.equal(readFields({ mode: base256(-1n, 8) }).mode, 0o7777);
  });

  test("`readEntry()` refuses sizes, ids and times out of range", () => {
    for (const size of [-1n, 1n << 53n, 1n << 62n, (1n << 53n) - 1n]) refusesFields({ size: base256(size, 12) });
    refusesFields({ size: Buffer.concat([Buffer.of(0x80, 1), Buffer.alloc(10)]) });
    for (const id of [-1n, 4_294_967_295n, 1n << 40n]) {
      refusesFields({ uid: base256(id, 8) });
      refusesFields({ gid: base256(id, 8) });
    }
    refusesFields({ mtime: base256(1n << 60n, 12) });
    // a type that becomes a directory by its name is read as a file first
    refusesFields({ name: "d/", typeflag: "\0", size: base256(-1n, 12) });
  });

  test("`readEntry()` accepts a checksum of unsigned or signed bytes and no other", () => {
    const name = "caf\xe9";
    assert.equal(readFields({ name }).path, name);
    assert.equal(readFields({ name, checksum: "signed" }).path, name);
    for (const checksum of ["0000000\0", "", "junk"]) refusesFields({ name, checksum });
    const { detail } = refuses(() => readEntry(Buffer.alloc(512, "x"), 0, 512, { base: 5000 }), "TAR_INVALID");
    assert.deepEqual(detail, { offset: 5000 });
  });

  test("`readEntry()` names the entry and the layer's offset in its errors", () => {
    const buffer = Buffer.concat([paxHeader([["path", "caf\xc3\xa9\x1b"]]), rawHeader({ uid: base256(-1n, 8) })]);
    const { detail } = refuses(() => readEntry(buffer, 0, buffer.length, { base: 10_000 }), "TAR_INVALID");
    assert.deepEqual(detail, { offset: 11_024, entry: "café\\x1b" });
  });
});

describe("readEntry() and PAX records", () => {
  test("`readEntry()` puts PAX records in the place of the header's fields", () => {
    const records: Records = [
      ["path", "long/caf\xff"],
      ["linkpath", "to\xfe"],
      ["uid", "3000000"],
      ["gid", "4000000"],
      ["mtime", "1700000000.123456789"],
      ["hdrcharset", "BINARY"],
      ["SCHILY.devmajor", "x"],
      ["comment", "a=b\nc"],
    ];
    const entry = readPax(records, { typeflag: "2", uid: 1, gid: 1, mtime: 1, linkName: "x" });
    assert.deepEqual([entry.path, entry.linkPath], ["long/caf\xff", "to\xfe"]);
    assert.deepEqual([entry.uid, entry.gid, entry.mtime, entry.mtimeNs], [3_000_000, 4_000_000, 1_700_000_000, 123_456_789]);
    assert.deepEqual([entry.start, entry.data, entry.end], [0, 1536, 1536]);
  });

  test("`readEntry()` takes the size from a PAX record", () => {
    const entry = read(paxHeader([["size", "600"]]), rawHeader({ size: 0 }), Buffer.alloc(1024));
    assert.deepEqual([entry.size, entry.stored, entry.data, entry.end], [600, 600, 1536, 2560]);
    for (const size of ["1e3", "0x10", "-1", "9007199254740992", "9223372036854775808", " 1", "1 ", "1_0"]) refusesPax([["size", size]]);
    assert.equal(readPax([["size", "-5"]], { typeflag: "5" }).end, 1536);
  });

  test("`readEntry()` reads PAX times to the nanosecond, floored", () => {
    const times: [string, number, number][] = [
      ["1.5", 1, 500_000_000],
      ["-1.5", -2, 500_000_000],
      ["-0.5", -1, 500_000_000],
      ["-1", -1, 0],
      ["-1.0", -1, 0],
      ["-0.000000001", -1, 999_999_999],
      ["1.", 1, 0],
      ["+2.25", 2, 250_000_000],
      ["1.0000000019", 1, 1],
      ["-1.0000000019", -2, 999_999_999],
      ["1350244992.023960108", 1_350_244_992, 23_960_108],
    ];
    for (const [text, seconds, nanoseconds] of times) {
      const { mtime, mtimeNs } = readPax([["mtime", text]]);
      assert.deepEqual([mtime, mtimeNs], [seconds, nanoseconds], text);
    }
    for (const text of [".5", "-.5", "1.x", "1.5.5", "1,5", "-", "nan", "1e9", "9007199254740993"]) refusesPax([["mtime", text]]);
    refusesPax([["atime", "junk"]]);
  });

  test("`readEntry()` lets an empty record leave the header's field as it is", () => {
    const entry = readPax(
      [
        ["path", ""],
        ["uid", ""],
        ["mtime", ""],
      ],
      { name: "own", uid: 5, mtime: 6 },
    );
    assert.deepEqual([entry.path, entry.uid, entry.mtime], ["own", 5, 6]);
  });

  test("`readEntry()` lets the last of several records and of several PAX headers win", () => {
    assert.equal(
      readPax([
        ["uid", "junk"],
        ["uid", "5"],
      ]).uid,
      5,
    );
    const entry = read(
      paxHeader([
        ["path", "first"],
        ["uid", "9"],
      ]),
      paxHeader([["path", "second"]]),
      rawHeader(),
    );
    assert.deepEqual([entry.path, entry.uid], ["second", 0]);
  });

  test("`readEntry()` refuses records that break the grammar", () => {
    const good = paxRecord("path", "name");
    const bad = ["junk", "13 path=name", "12 path=nam ", "12 path=name\n", "99 path=name\n", "-13 path=name\n", "7 path\n", "6 =ab\n"];
    for (const record of bad) {
      const header = rawEntry({ typeflag: "x" }, Buffer.concat([good, Buffer.from(record)]));
      refuses(() => read(header, rawHeader()), "TAR_INVALID");
    }
    for (const key of ["path", "linkpath", "uname", "gname"]) refusesPax([[key, "a\0b"]]);
    refusesPax([["some\0key", "x"]]);
    assert.equal(readPax([["comment", "a\0b"]]).kind, "file");
    assert.equal(read(rawEntry({ typeflag: "x" }, "+14 path=name\n"), rawHeader()).path, "name");
  });

  test("`readEntry()` ignores a global header and drops what came before it", () => {
    const global = paxHeader(
      [
        ["path", "global"],
        ["mtime", "junk"],
      ],
      { typeflag: "g", uid: base256(-5n, 8) },
    );
    const buffer = Buffer.concat([paxHeader([["path", "lost"]]), global, rawEntry({ name: "own" }), END]);
    const ignored = readEntry(buffer, 0, buffer.length) as TarEntry;
    assert.deepEqual([ignored.kind, ignored.stored, ignored.end], ["ignored", 0, 2048]);
    assert.equal((readEntry(buffer, ignored.end, buffer.length) as TarEntry).path, "own");
    refuses(() => read(rawEntry({ typeflag: "g" }, "junk")), "TAR_INVALID");
  });
});

describe("readEntry() and GNU's long names", () => {
  test("`readEntry()` puts L and K before the header's and PAX's names", () => {
    const name = "long/".repeat(60);
    const entry = read(longText("K", "target\xff"), longText("L", name), paxHeader([["path", "pax"]]), rawHeader({ typeflag: "2" }));
    assert.deepEqual([entry.path, entry.linkPath], [name, "target\xff"]);
  });

  test("`readEntry()` ends long names at a NUL, takes the last, and passes over an empty one", () => {
    assert.equal(read(longText("L", "a\0b"), rawHeader()).path, "a");
    assert.equal(read(longText("L", "first"), longText("L", "second"), rawHeader()).path, "second");
    assert.equal(read(longText("L", "first"), longText("L", ""), rawHeader({ name: "own" })).path, "own");
  });
});

describe("readEntry() and types that are no files", () => {
  test("`readEntry()` ignores a volume label but refuses one with data", () => {
    const { kind, path, end } = readFields({ typeflag: "V", name: "label", magic: GNU });
    assert.deepEqual([kind, path, end], ["ignored", "label", 512]);
    refuses(() => read(rawEntry({ typeflag: "V" }, "data")), "TAR_UNSUPPORTED");
    const map = [
      ["GNU.sparse.numblocks", "1"],
      ["GNU.sparse.map", "0,0"],
    ] as const;
    refuses(() => readPax(map, { typeflag: "V" }), "TAR_INVALID");
  });

  test("`readEntry()` refuses every other type", () => {
    for (const typeflag of ["X", "A", "D", "M", "N", "E", "I", "Z", "s", "8", "\xff", "\x1b"]) {
      const { detail } = refuses(() => readFields({ typeflag }), "TAR_UNSUPPORTED");
      assert.deepEqual(detail, { offset: 0, entry: "file" });
    }
  });
});

describe("readEntry() at the end of what is there", () => {
  const archive = Buffer.concat([paxHeader([["path", "name"]]), longText("L", "long"), rawEntry({}, "data"), END]);

  test("`readEntry()` asks for more until the last header is whole, and needs no data", () => {
    for (let limit = 0; limit < 2560; limit += limit % 512 === 511 ? 1 : 511) assert.equal(readEntry(archive, 0, limit), "more");
    assert.equal((readEntry(archive, 0, 2560) as TarEntry).path, "long");
  });

  test("`readEntry()` ends at two blocks of zeros, also after extension headers", () => {
    assert.equal(readEntry(archive, 3072, archive.length), "end");
    assert.equal(readEntry(archive, 3072, archive.length - 1), "more");
    const dangling = Buffer.concat([paxHeader([["path", "name"]]), END]);
    assert.equal(readEntry(dangling, 0, dangling.length), "end");
  });

  test("`readEntry()` refuses a header after a single block of zeros", () => {
    const buffer = Buffer.concat([Buffer.alloc(512), rawHeader()]);
    refuses(() => readEntry(buffer, 0, buffer.length), "TAR_INVALID");
  });

  test("`readEntry()` takes the end of a final buffer for the end of the archive between entries only", () => {
    const final = true;
    assert.equal(readEntry(archive, 3072, 3072, { final }), "end");
    assert.equal(readEntry(archive, 3072, 3584, { final }), "end");
    assert.equal(readEntry(archive, 3072, 3000, { final }), "end");
    assert.equal(readEntry(archive, 0, 1024, { final }), "end");
    for (const limit of [3073, 3585]) refuses(() => readEntry(archive, 3072, limit, { final }), "TAR_INVALID");
    for (const limit of [1, 512, 520, 1100, 2559]) refuses(() => readEntry(archive, 0, limit, { final }), "TAR_INVALID");
  });

  test("`readEntry()` refuses headers beyond the limit on sight of the claim", () => {
    for (const typeflag of ["x", "g", "L", "K"]) {
      const { detail } = refuses(() => readEntry(rawHeader({ typeflag, size: 2 ** 31 }), 0, 512), "LIMIT_HEADER_BYTES");
      assert.deepEqual(detail, { limit: "headerBytes", maximum: 1_048_576 });
      refuses(() => readEntry(rawHeader({ typeflag, size: base256(1n << 61n, 12) }), 0, 512), "LIMIT_HEADER_BYTES");
    }
    const chain = Buffer.concat([...Array.from({ length: 2048 }, () => rawEntry({ typeflag: "x" })), rawHeader()]);
    refuses(() => readEntry(chain, 0, chain.length), "LIMIT_HEADER_BYTES");
    assert.equal((readEntry(chain, 512, chain.length) as TarEntry).kind, "file");
    assert.equal((readEntry(archive, 0, archive.length, { headerLimit: 2560 }) as TarEntry).path, "long");
    refuses(() => readEntry(archive, 0, archive.length, { headerLimit: 2559 }), "LIMIT_HEADER_BYTES");
  });
});
