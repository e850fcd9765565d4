/** Whiteouts that try to hide more than a sibling, and entries that only look like whiteouts. */
import { archive, dir, file, hardlink, pax, refuse, special, symlink, tree, type HostileCase } from "../case.ts";

export const WHITEOUTS: readonly HostileCase[] = [
  ...["", ".", ".."].flatMap((name) =>
    ["", "d/"].map((parent): HostileCase => ({
      name: `whiteout of an invalid name: ${parent}.wh.${name}`,
      tar: () => archive(dir("d"), file("d/keep"), file(`${parent}.wh.${name}`, "")),
      expect: refuse("TAR_INVALID"),
    })),
  ),
  {
    name: "whiteouts of AUFS",
    tar: () => archive(file(".wh..wh.plnk/1.2"), dir(".wh..wh.orph"), file(".wh..wh.aufs"), file("a")),
    expect: tree('a file 644 "x"'),
  },
  { name: "a whiteout in a whiteout's name", tar: () => archive(file(".wh..wh.x", ""), file("a")), expect: tree('a file 644 "x"') },
  {
    name: "entries below a whiteout",
    tar: () => archive(file(".wh.etc/passwd"), dir(".wh.etc"), file("a")),
    expect: tree('a file 644 "x"', "etc whiteout"),
  },
  { name: "a whiteout that climbs", tar: () => archive(file("d/../../.wh.x", "")), expect: refuse("TAR_INVALID") },
  {
    name: "a whiteout with an absolute name",
    tar: (outside) => archive(file(`${outside}/.wh.secret`, "")),
    expect: tree("OUTSIDE dir 755", "OUTSIDE/secret whiteout"),
  },
  {
    name: "a whiteout through a symlink that leaves",
    tar: (outside) => archive(symlink("l", outside), file("l/.wh.secret", "")),
    expect: tree("l link /OUTSIDE", "OUTSIDE dir 755", "OUTSIDE/secret whiteout"),
  },
  {
    name: "an opaque marker through a symlink that leaves",
    tar: (outside) => archive(symlink("l", outside), file("l/.wh..wh..opq", "")),
    expect: tree("l link /OUTSIDE", "OUTSIDE dir 755 opaque"),
  },
  {
    name: "whiteouts that are a directory, a symlink, a device, and a file with content",
    tar: (outside) =>
      archive(dir(".wh.a"), symlink(".wh.b", outside), special("3", ".wh.c", { devMajor: 1, devMinor: 3 }), file(".wh.d", "content")),
    expect: tree("a whiteout", "b whiteout", "c whiteout", "d whiteout"),
  },
  { name: "a hard link as a whiteout", tar: (outside) => archive(hardlink(".wh.h", `${outside}/secret`)), expect: tree("h whiteout") },
  {
    name: "a whiteout of a file of the same layer, before and after it",
    tar: () => archive(file(".wh.a", ""), file("a"), file("b"), file(".wh.b", "")),
    expect: tree('a file 644 "x"', 'b file 644 "x"'),
  },
  {
    name: "a whiteout of a directory of the same layer hides what is below it",
    tar: () => archive(dir("d"), file("d/new"), file(".wh.d", "")),
    expect: tree("d dir 755 opaque", 'd/new file 644 "x"'),
  },
  {
    name: "an opaque marker after its siblings, and whiteouts beside it",
    tar: () => archive(dir("d"), file("d/a"), file("d/.wh..wh..opq", ""), file("d/.wh.b", "")),
    expect: tree("d dir 755 opaque", 'd/a file 644 "x"'),
  },
  {
    name: "a whiteout of a long name",
    tar: () => archive(file(`.wh.${"n".repeat(251)}`, "")),
    expect: tree(`${"n".repeat(200)}… whiteout`),
  },
  {
    name: "a device 0:0, which overlayfs treats as a whiteout",
    tar: () => archive(special("3", "n", { devMajor: 0, devMinor: 0 })),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "an xattr of overlayfs",
    tar: () => archive(pax(["SCHILY.xattr.trusted.overlay.opaque", "y"]), dir("d")),
    expect: tree("d dir 755"),
  },
  {
    name: "a redirect of overlayfs",
    tar: () => archive(pax(["SCHILY.xattr.trusted.overlay.redirect", "/etc"]), dir("d")),
    expect: tree("d dir 755"),
  },
];
