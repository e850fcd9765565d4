/** Headers with wrong or excessive numbers, PAX records, sparse maps and types. */
import { base256, GNU, paxHeader, paxRecord, rawEntry, rawHeader } from "../../tar/raw-header.ts";
import { archive, dir, file, pax, refuse, special, tree, type HostileCase } from "../case.ts";

const INVALID = refuse("TAR_INVALID");
const OK = tree('file file 644 ""');

function header(name: string, fields: Parameters<typeof rawHeader>[0], expect: HostileCase["expect"] = INVALID): HostileCase {
  return { name, tar: () => archive(rawHeader(fields)), expect };
}

function records(name: string, data: string | Buffer, expect: HostileCase["expect"] = INVALID): HostileCase {
  return { name, tar: () => archive(rawEntry({ name: "pax", typeflag: "x" }, data), file("file", "")), expect };
}

/** A sparse file in the old GNU format: its extents, and its claimed unpacked size. */
function sparse(
  name: string,
  extents: readonly (readonly [offset: number | Buffer, length: number | Buffer])[],
  about: { size: number | Buffer; stored: number; expect: HostileCase["expect"] },
): HostileCase {
  const patches = Object.fromEntries(
    extents.flatMap(
      ([offset, length], i) =>
        [
          [386 + 24 * i, octal(offset)],
          [398 + 24 * i, octal(length)],
        ] as const,
    ),
  );
  const fields = { name: "s", typeflag: "S", magic: GNU, size: about.stored, patches: { ...patches, 483: octal(about.size) } };
  return { name, tar: () => archive(rawHeader(fields), Buffer.alloc(Math.ceil(about.stored / 512) * 512, 0x61)), expect: about.expect };
}

function octal(value: number | Buffer): Buffer {
  return typeof value === "number" ? Buffer.from(`${value.toString(8).padStart(11, "0")}\0`) : value;
}

const XATTR = "SCHILY.xattr.user.n";

export const HEADERS: readonly HostileCase[] = [
  header("a negative size", { size: base256(-1n, 12) }),
  header("a size of 2^62", { size: base256(1n << 62n, 12) }),
  header("a size of 2^53 + 1", { size: base256((1n << 53n) + 1n, 12) }),
  header("a size of 2^95", { size: base256(1n << 88n, 12) }),
  header("a size of 2^40 and no data", { size: base256(1n << 40n, 12) }, INVALID),
  header("a size of 8 GiB and no data", { size: base256(1n << 33n, 12) }),
  header("a size that is not octal", { size: "0000000009x\0" }),
  header("a size in hex", { size: "0x10\0" }),
  header("a wrong checksum", { checksum: 1 }),
  header("a checksum that is not octal", { checksum: "garbage" }),
  header("a signed checksum", { name: "file", checksum: "signed" }, OK),
  header("an owner of 2^32", { uid: base256(1n << 32n, 8) }),
  header("the owner that means nobody", { gid: base256(0xffffffffn, 8) }),
  header("a negative owner", { uid: base256(-2n, 8) }),
  header("a mode of all bits", { name: "file", mode: "7777777\0" }, tree('file file 7777 ""')),
  header("times before 1970 and beyond 2446", { name: "file", mtime: base256(-(1n << 40n), 12) }, OK),
  header("a time of 2^62", { mtime: base256(1n << 62n, 12) }),
  header(
    "numbers of spaces and NULs",
    { name: "file", mode: "        ", uid: "\0\0\0\0\0\0\0\0", gid: "   0   \0", mtime: "            " },
    tree('file file 0 ""'),
  ),
  header("a device number of 2^21", { typeflag: "3", devMajor: base256(1n << 21n, 8) }),
  ...["Z", "X", "A", "M", "D", "N", "s", "I"].map((type) =>
    header(`an entry of type ${type}`, { typeflag: type }, refuse("TAR_UNSUPPORTED")),
  ),
  header("a contiguous file", { name: "file", typeflag: "7" }, OK),
  { name: "a volume label", tar: () => archive(rawHeader({ name: "label", typeflag: "V" }), file("file", "")), expect: OK },
  {
    name: "setuid, setgid and sticky",
    tar: () => archive(file("file", "", { mode: 0o6755 }), dir("d", { mode: 0o1777 })),
    expect: tree('file file 6755 ""', "d dir 1777"),
  },
  {
    name: "devices and a FIFO",
    tar: () =>
      archive(
        special("3", "c", { devMajor: 1, devMinor: 5 }),
        special("4", "b", { devMajor: 8, devMinor: 1 }),
        special("6", "p", { mode: 0o600 }),
      ),
    expect: tree("c char 1:5", "b block 8:1", "p fifo 600"),
  },
  records("a PAX record without a length", "path=x\n"),
  records("a PAX record that is too long", "99 path=x\n"),
  records("a PAX record that is too short", "3 path=x\n"),
  records("a PAX record of length 0", "0 path=x\n"),
  records("a PAX record with a negative length", "-9 path=x\n"),
  records("a PAX record with a length beyond numbers", "99999999999999999999 path=x\n"),
  records("a PAX record without a newline", "9 path=xx"),
  records("a PAX record without an equals sign", "8 pathx\n"),
  records("a PAX record without a key", "5 =xx\n"),
  ...["1e3", "0x10", "-1", "9223372036854775808", "9007199254740993", "1 "].map((size) =>
    records(`a PAX size of ${size}`, paxRecord("size", size)),
  ),
  ...["x", "1.", "--1", "1.x", "1e9"].slice(0, 1).map((time) => records(`a PAX time of ${time}`, paxRecord("mtime", time))),
  records("a PAX owner of 2^33", paxRecord("uid", String(2 ** 33))),
  records("a PAX record of no meaning", Buffer.concat([paxRecord("__proto__", "x"), paxRecord("comment", "\x1b[2J")]), OK),
  {
    name: "a PAX header of 64 MiB",
    cve: ["CVE-2022-2879"],
    tar: () => archive(rawHeader({ typeflag: "x", size: 64 << 20 }), Buffer.alloc(64 << 20, 0x61)),
    expect: refuse("LIMIT_HEADER_BYTES"),
  },
  {
    name: "a PAX header that claims 2 GiB",
    cve: ["CVE-2022-2879"],
    tar: () => archive(rawHeader({ typeflag: "x", size: 2 ** 31 })),
    expect: refuse("LIMIT_HEADER_BYTES"),
  },
  {
    name: "20,000 PAX headers before one entry",
    tar: () => archive(...Array.from({ length: 20_000 }, () => paxHeader([["comment", "x"]])), file("file", "")),
    expect: refuse("LIMIT_HEADER_BYTES"),
  },
  {
    name: "a global PAX header with a path",
    tar: () => archive(rawEntry({ typeflag: "g" }, paxRecord("path", "../../x")), file("file", "")),
    expect: OK,
  },
  {
    name: "xattrs: 70 KB in one",
    tar: () => archive(pax([XATTR, "v".repeat(70_000)]), file("file", "")),
    expect: INVALID,
  },
  {
    name: "xattrs: 200 KB in one",
    tar: () => archive(pax([XATTR, "v".repeat(200_000)]), file("file", "")),
    expect: refuse("LIMIT_XATTR_BYTES"),
  },
  {
    name: "xattrs: 20,000 of them",
    tar: () => archive(pax(...Array.from({ length: 20_000 }, (_, i): [string, string] => [`${XATTR}${i}`, ""])), file("file", "")),
    expect: refuse("LIMIT_XATTR_BYTES"),
  },
  { name: "an xattr without a name", tar: () => archive(pax(["SCHILY.xattr.", "v"]), file("file", "")), expect: INVALID },
  sparse(
    "a sparse map that overlaps",
    [
      [0, 512],
      [256, 512],
    ],
    { size: 2048, stored: 1024, expect: INVALID },
  ),
  sparse("a sparse map beyond the end", [[4096, 512]], { size: 1024, stored: 512, expect: INVALID }),
  sparse("a sparse map that overflows", [[base256((1n << 62n) + 5n, 12), 512]], {
    size: base256(1n << 62n, 12),
    stored: 512,
    expect: INVALID,
  }),
  sparse("a negative sparse offset", [[base256(-512n, 12), 512]], { size: 1024, stored: 512, expect: INVALID }),
  sparse("a sparse map that covers less than is stored", [[0, 512]], { size: 2048, stored: 1024, expect: INVALID }),
  sparse("a hole of 1 TiB", [[0, 512]], { size: base256(1n << 40n, 12), stored: 512, expect: refuse("LIMIT_FILE_BYTES") }),
  sparse("a hole of 8 GiB from 1 KB", [[0, 512]], { size: base256(1n << 33n, 12), stored: 512, expect: refuse("LIMIT_RATIO") }),
  sparse("a sparse file", [[512, 512]], { size: 2048, stored: 512, expect: tree("s file 644 2048") }),
  {
    name: "a sparse map that claims 10^9 extents",
    cve: ["CVE-2025-58183", "CVE-2026-32288"],
    tar: () =>
      archive(
        pax(["GNU.sparse.major", "1"], ["GNU.sparse.minor", "0"], ["GNU.sparse.realsize", "1"]),
        file("s", "1000000000\n".padEnd(512, "\0")),
      ),
    expect: INVALID,
  },
  {
    name: "64 MiB of sparse extension blocks",
    cve: ["CVE-2025-58183"],
    tar: () =>
      archive(
        rawHeader({ name: "s", typeflag: "S", magic: GNU, patches: { 482: "\x01", 483: octal(1) } }),
        ...Array.from({ length: 4000 }, () => Buffer.concat([Buffer.alloc(504), Buffer.from("\x01"), Buffer.alloc(7)])),
      ),
    expect: refuse("LIMIT_HEADER_BYTES"),
  },
];
