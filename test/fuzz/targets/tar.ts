/** The framing of tar archives: no crash, no hang, one opinion of both walks, and that of tar-stream where the archive is valid. */
import assert from "node:assert/strict";
import { extract } from "tar-stream";
import { ShaleError } from "../../../src/errors.ts";
import { LayerModel } from "../../../src/ingest/layer/layer-model.ts";
import type { TarEntry } from "../../../src/tar/entry.ts";
import { measureEntry } from "../../../src/tar/measure-entry.ts";
import { readEntry } from "../../../src/tar/read-entry.ts";
import { base256, END, GNU, longText, paxHeader, rawEntry, USTAR, V7, type RawField, type RawFields } from "../../tar/raw-header.ts";
import { entryTableOf } from "../../support/entry-table-of.ts";
import { mutate, type Random } from "../random.ts";
import type { Target } from "../target.ts";

export const TAR: Target = {
  name: "tar",
  async run(random) {
    const valid = Buffer.concat([...random.list(6, () => validEntry(random)), END]);
    if (random.once(4)) return agreeWithTarStream(valid);
    const odd = Buffer.concat([valid.subarray(0, -1024), ...random.list(3, () => oddEntry(random)), END]);
    walk(random.once(5) ? odd : mutate(odd, random), random);
  },
};

const NAMES = "ab/.-_";

function validEntry(random: Random): Buffer {
  const name = `${random.text(random.once(5) ? 180 : 12, NAMES)}n`.replaceAll(/\.\.+/g, ".");
  const fields = { mode: random.below(0o10000), uid: random.below(2 ** 18), gid: random.below(2 ** 18), mtime: random.below(2 ** 31) };
  const extra = name.length > 100 ? [random.once(2) ? longText("L", name) : paxHeader([["path", name]])] : [];
  const typeflag = random.pick(["0", "0", "0", "2", "5", "1", "6"]);
  const data = typeflag === "0" ? Buffer.alloc(random.below(1500), random.below(256)) : Buffer.alloc(0);
  const linkName = typeflag === "1" || typeflag === "2" ? random.text(20, NAMES) + "t" : "";
  return Buffer.concat([...extra, rawEntry({ ...fields, name: name.slice(0, 100), typeflag, linkName }, data)]);
}

const KEYS = [
  "path",
  "linkpath",
  "size",
  "uid",
  "gid",
  "mtime",
  "GNU.sparse.major",
  "GNU.sparse.minor",
  "GNU.sparse.map",
  "GNU.sparse.realsize",
  "GNU.sparse.name",
  "SCHILY.xattr.user.a",
  "SCHILY.xattr.",
  "LIBARCHIVE.xattr.a%20",
  "comment",
  "GNU.sparse.offset",
  "GNU.sparse.numbytes",
  "GNU.sparse.numblocks",
];
const VALUES = [
  "",
  "0",
  "1",
  "-1",
  "512",
  "0,1",
  "0,512,1024,1",
  "9007199254740993",
  "1e3",
  "../../x",
  "a\0b",
  "/",
  "1.5",
  ".wh.x",
  "\xff",
  "AAAA",
];

function oddEntry(random: Random): Buffer {
  const records = random.list(4, (): [string, string] => [random.pick(KEYS), random.pick(VALUES)]);
  const number = (width: number): RawField =>
    random.pick([
      0,
      1,
      511,
      512,
      513,
      "",
      "9",
      base256(BigInt(random.below(2 ** 31)) << BigInt(random.below(60)), width),
      base256(-1n, width),
    ]);
  const fields: RawFields = {
    name: random.pick(["a", "a/b", "../x", "/", ".", ".wh.a", ".wh..wh..opq", ".wh.", "a".repeat(100), "l/x"]),
    typeflag: random.pick("01234567gxLKSVXZ\0".split("")),
    linkName: random.pick(["a", "l", "../..", "/", "a/b", ""]),
    magic: random.pick([USTAR, GNU, V7]),
    size: number(12),
    mtime: number(12),
    uid: number(8),
    devMajor: number(8),
    prefix: random.pick(["", "p", ".."]),
  };
  return Buffer.concat([
    ...(random.once(2) ? [paxHeader(records)] : []),
    rawEntry(fields, Buffer.alloc(random.below(1100), random.below(256))),
  ]);
}

/** Both walks over every entry, until an end or an error, and the model of what came. */
function walk(archive: Buffer, random: Random): void {
  const entries: TarEntry[] = [];
  refuseOnly(() => {
    for (let at = 0; at <= archive.length;) {
      const entry = both(archive, at, archive.length, true);
      if (typeof entry === "string") break;
      checkEntry(entry, archive.length);
      checkCut(archive, entry, random);
      entries.push(entry);
      at = entry.end;
    }
  });
  const rows = entries.map((entry) => ({ entry, offset: entry.data, stored: undefined }));
  refuseOnly(() => new LayerModel(entryTableOf(rows, 2), { pathDepth: 1024 }).build());
}

/** Lets errors pass that say what is wrong with an image, and nothing else. */
function refuseOnly(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!ShaleError.is(error) || !/^(?:TAR_INVALID|TAR_UNSUPPORTED|LIMIT_[A-Z_]+)$/.test(error.code)) throw error;
    assert.ok(error.message.length < 1500 && /^[\x20-\x7e\u00a1-\uffff]*$/.test(error.message), "the message is bounded and harmless");
  }
}

function both(archive: Buffer, at: number, limit: number, final: boolean): TarEntry | "more" | "end" {
  const [read, measured] = [
    attempt(() => readEntry(archive, at, limit, { final })),
    attempt(() => measureEntry(archive, at, limit, { final })),
  ];
  if (read instanceof Error) {
    assert.ok(measured instanceof Error && measured.message === read.message, "both walks fail alike");
    throw read;
  }
  if (typeof read === "string") assert.equal(measured, read);
  else assert.deepEqual(measured, { data: read.data, end: read.end, stored: read.stored, size: read.size });
  return read;
}

function attempt<T>(action: () => T): T | Error {
  try {
    return action();
  } catch (error) {
    return error as Error;
  }
}

function checkEntry(entry: TarEntry, length: number): void {
  assert.ok(entry.start + 512 <= entry.data && entry.data <= length && entry.end >= entry.data, "an entry goes forward");
  for (const number of [entry.size, entry.stored, entry.end, entry.uid, entry.gid, entry.mtime]) assert.ok(Number.isSafeInteger(number));
  assert.ok(entry.mode >= 0 && entry.mode <= 0o7777 && entry.uid >= 0 && entry.gid >= 0 && entry.mtimeNs >= 0 && entry.mtimeNs < 1e9);
  let end = 0;
  for (const { offset, length: bytes } of entry.sparse ?? []) {
    assert.ok(offset >= end && bytes > 0);
    end = offset + bytes;
  }
  assert.ok(end <= entry.size);
}

/** With less of the archive at hand it asks for more, or says the same. */
function checkCut(archive: Buffer, entry: TarEntry, random: Random): void {
  const limit = entry.start + random.below(Math.min(entry.end, archive.length) - entry.start + 1);
  const cut = attempt(() => readEntry(archive, entry.start, limit));
  if (cut !== "more") assert.deepEqual(cut, entry);
}

const TYPES: Readonly<Record<string, string>> = {
  file: "file",
  directory: "directory",
  symlink: "symlink",
  link: "hardlink",
  fifo: "fifo",
};

async function agreeWithTarStream(archive: Buffer): Promise<void> {
  const reader = extract();
  reader.end(archive);
  let at = 0;
  for await (const stream of reader) {
    const { name, type, size, mode, uid, gid, mtime, linkname } = stream.header;
    const content: Buffer[] = [];
    for await (const piece of stream) content.push(piece as Buffer);
    const entry = both(archive, at, archive.length, true);
    assert.ok(typeof entry !== "string");
    const theirs = { name, kind: TYPES[type ?? ""], size, mode, uid, gid, mtime: (mtime?.getTime() ?? NaN) / 1000, link: linkname ?? "" };
    const ours = {
      name: entry.path,
      kind: entry.kind,
      size: entry.size,
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      mtime: entry.mtime,
      link: entry.linkPath,
    };
    assert.deepEqual(ours, theirs);
    assert.ok(Buffer.concat(content).equals(archive.subarray(entry.data, entry.data + entry.stored)));
    at = entry.end;
  }
  assert.equal(both(archive, at, archive.length, true), "end");
}
