/** Names that try to leave the layer, and names that are unusual but harmless. */
import { longText, rawEntry, GNU } from "../../tar/raw-header.ts";
import { archive, dir, file, pax, refuse, special, symlink, tree, type HostileCase } from "../case.ts";

const TRAVERSALS = ["../x", "/../x", "d/../../x", "d/../x", "..", "d/..", "./../x", "a/b/../../../x"];

/** Names as bytes, and as they are displayed. */
const ODD: readonly (readonly [name: string, shown: string])[] = [
  ["a\nb", String.raw`a\x0ab`],
  ["\x1b[2J", String.raw`\x1b[2J`],
  ["-rf", "-rf"],
  ["a\\b", String.raw`a\\b`],
  ["C:x", "C:x"],
  ["\xe9", String.raw`\xe9`],
  ["\xc0\xae\xc0\xae", String.raw`\xc0\xae\xc0\xae`],
  ["\xed\xa0\x80", String.raw`\xed\xa0\x80`],
  ["Twin", "Twin"],
  ["twin", "twin"],
  ["\xc3\xa9", "é"],
  ["e\xcc\x81", "e\u0301"],
  ["__proto__", "__proto__"],
  ["constructor", "constructor"],
];

export const PATHS: readonly HostileCase[] = [
  ...TRAVERSALS.map((name): HostileCase => ({
    name: `traversal: ${name}`,
    cve: ["CVE-2024-12905"],
    tar: () => archive(dir("d"), file(name)),
    expect: refuse("TAR_INVALID"),
  })),
  {
    name: "traversal by PAX path",
    tar: (outside) => archive(pax(["path", `../../../../../../../../..${outside}/x`]), file("ok")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "traversal by GNU long name",
    tar: (outside) => archive(longText("L", `${"../".repeat(30)}${outside.slice(1)}/x`), file("ok")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "traversal by prefix",
    tar: () => archive(rawEntry({ name: "x", prefix: "../.." }, "x")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "a sibling whose name starts with the root's name",
    cve: ["CVE-2025-59343"],
    tar: (outside) => archive(symlink("l", `${outside}-sibling`), file("l/x")),
    expect: tree("l link /OUTSIDE-sibling", "OUTSIDE-sibling dir 755", 'OUTSIDE-sibling/x file 644 "x"'),
  },
  {
    name: "absolute name",
    cve: ["CVE-2021-32804"],
    tar: (outside) => archive(file(`${outside}/x`, "new")),
    expect: tree("OUTSIDE dir 755", 'OUTSIDE/x file 644 "new"'),
  },
  {
    name: "slashes and dots",
    tar: () => archive(file("//a//./b/./c", "1"), dir("./e/"), file(".//e/f", "2")),
    expect: tree("a dir 755", "a/b dir 755", 'a/b/c file 644 "1"', "e dir 755", 'e/f file 644 "2"'),
  },
  { name: "the root as a directory", tar: () => archive(dir("./", { mode: 0o711 }), file("a")), expect: tree('a file 644 "x"') },
  { name: "the root as a file", tar: () => archive(file("./", "x", { typeflag: "0" }), file("a")), expect: refuse("TAR_INVALID") },
  {
    name: "the root as a symlink",
    cve: ["CVE-2021-29136"],
    tar: (outside) => archive(symlink(".", outside), file("x", "planted")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "the root as a symlink, written as /",
    cve: ["CVE-2021-29136"],
    tar: (outside) => archive(symlink("/", outside)),
    expect: refuse("TAR_INVALID"),
  },
  { name: "a file as parent", tar: () => archive(file("f"), file("f/c")), expect: refuse("TAR_INVALID") },
  {
    name: "a device as parent",
    tar: () => archive(special("3", "n", { devMajor: 1, devMinor: 3 }), file("n/c")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "missing parents, the directory after its children",
    tar: () => archive(file("p/q/r"), dir("p", { mode: 0o700 })),
    expect: tree("p dir 700", "p/q dir 755", 'p/q/r file 644 "x"'),
  },
  {
    name: "a directory without permissions, before its children",
    tar: () => archive(dir("z", { mode: 0 }), file("z/c")),
    expect: tree("z dir 0", 'z/c file 644 "x"'),
  },
  { name: "a component of 256 bytes", tar: () => archive(file("c".repeat(256))), expect: refuse("TAR_INVALID") },
  { name: "a component of 255 bytes", tar: () => archive(file("c".repeat(255))), expect: tree(`${"c".repeat(200)}… file 644 "x"`) },
  { name: "128 characters of two bytes", tar: () => archive(file(Buffer.from("é".repeat(128)))), expect: refuse("TAR_INVALID") },
  {
    name: "a path of 4096 bytes",
    tar: () => archive(file(`${"d".repeat(200)}/`.repeat(20) + "e".repeat(76))),
    expect: refuse("TAR_INVALID"),
  },
  { name: "depth 1025", cve: ["CVE-2024-28863"], tar: () => archive(dir("d/".repeat(1025))), expect: refuse("LIMIT_PATH_DEPTH") },
  { name: "depth 100,000", cve: ["CVE-2024-28863"], tar: () => archive(dir("d/".repeat(100_000))), expect: refuse("LIMIT_PATH_DEPTH") },
  {
    name: "names with control characters, and unusual names",
    cve: ["CVE-2021-37712", "CVE-2026-23950"],
    tar: () => archive(...ODD.map(([name]) => file(Buffer.from(name, "latin1")))),
    expect: tree(...ODD.map(([, shown]) => `${shown} file 644 "x"`)),
  },
  { name: "a NUL in a ustar name ends it", tar: () => archive(file("cut\0/../../x")), expect: tree('cut file 644 "x"') },
  {
    name: "a NUL in a GNU long name ends it",
    tar: () => archive(longText("L", "cut\0/../../x"), file("ok")),
    expect: tree('cut file 644 "x"'),
  },
  {
    name: "a NUL in a PAX path",
    cve: ["GHSA-gvwx-54wh-qm9j"],
    tar: () => archive(pax(["path", "cut\0/../../x"]), file("ok")),
    expect: refuse("TAR_INVALID"),
  },
  { name: "an empty name", tar: () => archive(file("")), expect: refuse("TAR_INVALID") },
  {
    name: "a long name of 2 MiB",
    tar: () => archive(rawEntry({ name: "L", typeflag: "L", magic: GNU }, Buffer.alloc(2 << 20, 0x61)), file("ok")),
    expect: refuse("LIMIT_HEADER_BYTES"),
  },
];
