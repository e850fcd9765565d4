/** Links that lead out of the layer, writes through such links, and names that occur more than once. */
import { archive, dir, file, hardlink, pax, refuse, special, symlink, tree, type HostileCase } from "../case.ts";

const up = (outside: string): string => `${"../".repeat(12)}${outside.slice(1)}`;

export const LINKS: readonly HostileCase[] = [
  {
    name: "symlinks that point out of the layer are kept unchanged",
    tar: (outside) => archive(symlink("abs", outside), symlink("rel", "../../x"), symlink("none", "nowhere"), symlink("self", "self")),
    expect: tree("abs link /OUTSIDE", "rel link ../../x", "none link nowhere", "self link self"),
  },
  {
    name: "write through an absolute symlink",
    cve: ["CVE-2015-8860", "CVE-2014-9356", "CVE-2026-26960"],
    tar: (outside) => archive(symlink("l", outside), file("l/secret", "overwritten")),
    expect: tree("l link /OUTSIDE", "OUTSIDE dir 755", 'OUTSIDE/secret file 644 "overwritten"'),
  },
  {
    name: "write through a symlink that climbs",
    cve: ["CVE-2014-6407", "CVE-2024-12905", "CVE-2025-48387"],
    tar: (outside) => archive(symlink("d/l", up(outside)), file("d/l/secret", "overwritten")),
    expect: tree("d dir 755", "d/l link UP/OUTSIDE", "OUTSIDE dir 755", 'OUTSIDE/secret file 644 "overwritten"'),
  },
  {
    name: "write through a chain of symlinks",
    cve: ["CVE-2026-26960"],
    tar: (outside) => archive(symlink("a", ".."), symlink("b", "a/.."), symlink("c", `b/..${outside}`), file("c/secret", "overwritten")),
    expect: tree("a link ..", "b link a/..", "c link b/../OUTSIDE", "OUTSIDE dir 755", 'OUTSIDE/secret file 644 "overwritten"'),
  },
  {
    name: "a directory, then a symlink with its name, then a file below it",
    cve: ["CVE-2021-32803", "CVE-2021-37701"],
    tar: (outside) => archive(dir("d"), file("d/x"), symlink("d", outside), file("d/secret", "overwritten")),
    expect: tree("d link /OUTSIDE", "OUTSIDE dir 755", 'OUTSIDE/secret file 644 "overwritten"'),
  },
  {
    name: "a symlink, then a file with its name",
    cve: ["CVE-2026-33056"],
    tar: (outside) => archive(symlink("l", `${outside}/secret`), file("l", "new", { mode: 0o777 })),
    expect: tree('l file 777 "new"'),
  },
  {
    name: "a symlink, then a directory with its name",
    cve: ["CVE-2026-33056"],
    tar: (outside) => archive(symlink("l", outside), dir("l", { mode: 0o777 })),
    expect: tree("l dir 777 opaque"),
  },
  {
    name: "a symlink, then a FIFO and a device with its name",
    tar: (outside) => archive(symlink("l", `${outside}/secret`), special("6", "l"), special("3", "l", { devMajor: 1, devMinor: 3 })),
    expect: tree("l char 1:3"),
  },
  {
    name: "a loop of symlinks as parent",
    tar: () => archive(symlink("a", "b"), symlink("b", "a"), file("a/x")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "40 symlinks as parent, and 41",
    tar: () => archive(...Array.from({ length: 41 }, (_, i) => symlink(`l${i}`, `l${i + 1}`)), dir("l41"), file("l0/x")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "symlinks of /usr, as real images have them",
    tar: () => archive(dir("usr/lib"), symlink("lib", "usr/lib"), symlink("abs", "/usr/lib"), file("lib/a"), file("abs/b")),
    expect: tree(
      "usr dir 755",
      "usr/lib dir 755",
      "lib link usr/lib",
      "abs link /usr/lib",
      'usr/lib/a file 644 "x"',
      'usr/lib/b file 644 "x"',
    ),
  },
  ...["", "a".repeat(4096)].map((target): HostileCase => ({
    name: `a symlink with a target of ${target.length} bytes`,
    tar: () => archive(symlink("l", target)),
    expect: refuse("TAR_INVALID"),
  })),
  {
    name: "a symlink with a target of 4095 bytes",
    tar: () => archive(symlink("l", "a".repeat(4095))),
    expect: tree(`l link ${"a".repeat(200)}…`),
  },
  {
    name: "hard link to a file of the host, absolute",
    cve: ["CVE-2018-20834", "CVE-2018-20835", "CVE-2026-23745", "CVE-2026-24842"],
    tar: (outside) => archive(hardlink("h", `${outside}/secret`), file("h", "overwritten")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "hard link to a file of the host, and no other entry",
    cve: ["CVE-2026-23745", "CVE-2025-48387"],
    tar: (outside) => archive(hardlink("h", `${outside}/secret`)),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "hard link that climbs",
    cve: ["CVE-2018-20835", "CVE-2026-24842", "CVE-2025-48387"],
    tar: (outside) => archive(hardlink("h", `${up(outside)}/secret`), file("h", "overwritten")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "hard link through a symlink that leaves",
    cve: ["CVE-2026-26960", "CVE-2025-48387"],
    tar: (outside) => archive(symlink("l", outside), hardlink("h", "l/secret"), file("h", "overwritten", { mode: 0o777 })),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "hard link to a symlink, then a mode for it",
    cve: ["CVE-2021-32760"],
    tar: (outside) => archive(symlink("l", `${outside}/secret`), hardlink("h", "l")),
    expect: tree("l link /OUTSIDE/secret", "h link /OUTSIDE/secret", "= h l"),
  },
  { name: "hard link to a directory", tar: () => archive(dir("d"), hardlink("h", "d")), expect: refuse("TAR_INVALID") },
  { name: "hard link to the root", tar: () => archive(hardlink("h", "/")), expect: refuse("TAR_INVALID") },
  { name: "hard link to itself", tar: () => archive(hardlink("h", "h")), expect: refuse("TAR_INVALID") },
  { name: "hard links in a circle", tar: () => archive(hardlink("a", "b"), hardlink("b", "a")), expect: refuse("TAR_INVALID") },
  {
    name: "hard link to a file, then a file linked to itself",
    tar: () => archive(file("f"), hardlink("f", "f")),
    expect: tree('f file 644 "x"'),
  },
  {
    name: "hard links before their target, and absolute",
    tar: () => archive(hardlink("a", "b"), hardlink("b", "/c"), file("c", "1")),
    expect: tree('a file 644 "1"', 'b file 644 "1"', 'c file 644 "1"', "= a b c"),
  },
  {
    name: "a link target by PAX that climbs",
    tar: (outside) => archive(pax(["linkpath", `${up(outside)}/secret`]), hardlink("h", "ok")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "a PAX link target with a NUL",
    tar: () => archive(pax(["linkpath", "a\0b"]), symlink("h", "ok")),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "one path many times, in every spelling",
    tar: () => archive(file("a", "1"), file("./a", "2"), file("/a", "3"), file("a//", "4"), file("b/../a".slice(5), "5")),
    expect: tree('a file 644 "5"'),
  },
  {
    name: "a directory replaced by a file loses its subtree",
    tar: () => archive(dir("d"), file("d/e/f"), file("d", "now")),
    expect: tree('d file 644 "now"'),
  },
  {
    name: "a file replaced by a directory",
    tar: () => archive(file("f"), dir("f"), file("f/g")),
    expect: tree("f dir 755 opaque", 'f/g file 644 "x"'),
  },
  {
    name: "a hard link whose target is replaced keeps the old file",
    tar: () => archive(file("a", "old"), hardlink("b", "a"), file("a", "new")),
    expect: tree('a file 644 "new"', 'b file 644 "old"'),
  },
];
