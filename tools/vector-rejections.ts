/** What a reader of sidecars must refuse, one case a rule: each is made from a sidecar that is right in all else. */
import { encodeSidecar, Flag, type SidecarEntry } from "../format/index.ts";
import type { ColumnName } from "../format/columns.ts";
import { readColumns, resum, withColumns } from "./sidecar-damage.ts";
import { SMALL, type VectorLayer } from "./vector-layers.ts";

export interface Rejection {
  readonly name: string;
  /** The section of sidecar.md that has the rule. */
  readonly section: number;
  readonly make: (small: Buffer) => Buffer | Promise<Buffer>;
}

/** Changes bytes of a column at a position in it, and makes the checksums right again. */
function patch(column: ColumnName, at: number, bytes: readonly number[]): Rejection["make"] {
  return async (small) => {
    const { start } = readColumns(small).find(({ name }) => name === column)!;
    const changed = Buffer.from(small);
    changed.set(bytes, start + at);
    await resum(changed);
    return changed;
  };
}

/** Replaces text of the header or of a key by other text of the same length. */
function replace(from: string, to: string): Rejection["make"] {
  return async (small) => {
    const changed = Buffer.from(small);
    changed.write(to, small.indexOf(from, 0, "latin1"), "latin1");
    await resum(changed);
    return changed;
  };
}

/** Sets a byte at a distance behind a key of the header. */
function header(key: string, distance: number, bytes: readonly number[]): Rejection["make"] {
  return async (small) => {
    const changed = Buffer.from(small);
    changed.set(bytes, small.indexOf(key, 0, "latin1") + key.length + distance);
    await resum(changed);
    return changed;
  };
}

/** Encodes the small layer with other fields in one entry. */
function fields(number: number, changed: Partial<SidecarEntry>): Rejection["make"] {
  return layer({ entries: SMALL.entries.map((one, other) => (other === number ? { ...one, ...changed } : one)) });
}

function layer(changed: Partial<VectorLayer>): Rejection["make"] {
  return () => encodeSidecar({ ...SMALL, ...changed });
}

const FF = [0xff, 0xff, 0xff, 0xff] as const;
const CASES: readonly (readonly [string, number, Rejection["make"]])[] = [
  ["no-bytes", 1, () => Buffer.alloc(0)],
  ["foreign", 1, () => Buffer.from("PK\x03\x04 this is something else entirely\n".repeat(20), "latin1")],
  ["cut-in-header", 1, (small) => small.subarray(0, 100)],
  ["cut-in-columns", 2, (small) => small.subarray(0, 700)],
  ["cut-in-sums", 2, (small) => small.subarray(0, -1)],
  ["byte-after-end", 2, (small) => Buffer.concat([small, Buffer.alloc(1)])],
  ["flipped-bit", 2, (small) => Buffer.from(small.map((byte, at) => (at === 500 ? byte ^ 4 : byte)))],
  ["flipped-sum", 2, (small) => Buffer.from(small.map((byte, at) => (at === small.length - 1 ? byte ^ 4 : byte)))],
  ["later-version", 1, replace("sidecar/1", "sidecar/2")],
  ["other-format", 1, replace("shale", "slate")],
  ["count-too-small", 1, header("count", 0, [7])],
  ["live-zero", 1, header("live", 0, [0])],
  ["live-above-count", 1, header("live", 0, [9])],
  ["indexed-two", 1, header("indexed", 0, [2])],
  ["lengths-too-long", 1, header("lengths", 2, [...FF, 0, 0, 0, 0])],
  ["lengths-shifted", 1, header("lengths", 2, [0x0a])],
  ["key-renamed", 1, replace("mtimeNs", "mtimeMs")],
  [
    "key-twice",
    1,
    (small) =>
      withColumns(small, [
        ["later", Buffer.alloc(4)],
        ["later", Buffer.alloc(4)],
      ]),
  ],
  ["key-of-a-known-column", 1, (small) => withColumns(small, [["mode", Buffer.alloc(4)]])],
  ["key-with-a-slash", 1, (small) => withColumns(small, [["a/b", Buffer.alloc(4)]])],
  ["ends-fall", 3, patch("pathEnd", 8, [9])],
  ["ends-beyond", 3, patch("pathEnd", 28, FF)],
  ["flags-unknown", 3, patch("whiteout", 1, [64])],
  ["shadowed-but-live", 3, patch("whiteout", 1, [Flag.shadowed])],
  ["live-but-shadowed", 3, patch("whiteout", 7, [0])],
  ["mode-row-beyond", 3, patch("mode", 2, [0xff])],
  ["link-row-beyond", 3, patch("link", 16, [2])],
  ["chunk-row-beyond", 3, patch("chunk", 8, [9])],
  ["order-entry-beyond", 3, patch("order", 4, [8])],
  ["order-entry-twice", 3, patch("order", 4, [0])],
  ["mtime-too-large", 3, patch("mtime", 8, [0, 0, 0, 0, 0, 0, 0x20, 0])],
  ["mtimeNs-too-large", 3, patch("mtimeNs", 4, [0, 0xca, 0x9a, 0x3b])],
  ["mode-too-large", 3, patch("modeTable", 2, [1])],
  ["xattr-set-beyond", 3, patch("modeTable", 20, [9])],
  ["xattr-set-cut", 3, patch("xattrs", 0, [99])],
  ["xattrs-unsorted", 3, patch("xattrs", 7, [0x7a])],
  ["xattr-name-twice", 3, patch("xattrs", 20, [0x61])],
  ["root-with-a-name", 3, patch("pathEnd", 0, [1])],
  ["root-no-directory", 3, fields(0, { mode: 0o100755 })],
  ["name-with-a-slash", 3, patch("path", 0, [0x2f])],
  ["name-with-a-nul", 3, patch("path", 0, [0])],
  ["name-dot", 3, patch("path", 0, [0x2e])],
  ["names-unsorted", 3, patch("path", 0, [0x7a])],
  ["names-equal", 3, patch("path", 2, [0x66])],
  ["directory-not-there", 3, patch("dirPath", 0, [0x65])],
  ["directory-no-directory", 3, fields(1, { mode: 0o100644 })],
  ["dirFirst-falls", 3, patch("dirFirst", 4, [0])],
  ["dirFirst-not-live", 3, patch("dirFirst", 8, [8])],
  ["type-unknown", 3, fields(5, { mode: 0o030600 })],
  ["type-of-a-whiteout", 3, fields(6, { mode: 0o100644 })],
  ["type-missing", 3, fields(5, { mode: 0o600 })],
  ["device-number-of-a-file", 3, fields(5, { rdevMajor: 1 })],
  ["opaque-file", 3, fields(5, { flags: Flag.opaque })],
  ["implicit-in-the-tar", 3, patch("whiteout", 1, [Flag.implicit])],
  ["sparse-directory", 3, fields(1, { flags: Flag.sparse })],
  ["size-without-chunk", 3, fields(5, { chunk: -1, offset: 0 })],
  ["chunk-without-size", 3, fields(5, { size: 0 })],
  ["size-of-a-directory", 3, fields(1, { size: 3, chunk: 0 })],
  ["offset-without-chunk", 3, fields(4, { offset: 512 })],
  ["offset-of-a-shadowed-entry-without-chunk", 3, fields(7, { chunk: -1, size: 0 })],
  ["whiteout-content-not-in-the-tar", 3, fields(6, { size: 3, chunk: 0 })],
  ["offsets-fall", 3, fields(5, { offset: 512 })],
  ["symlink-without-target", 3, fields(4, { target: "" })],
  ["target-of-a-file", 3, fields(5, { target: "x" })],
  ["chunks-equal", 3, layer({ chunks: Buffer.alloc(64, 1) })],
  ["chunk-unused", 3, layer({ chunks: Buffer.from([...Buffer.alloc(64, 1).fill(2, 32), ...Buffer.alloc(32, 3)]) })],
  [
    "chunks-not-in-order-of-use",
    3,
    layer({ entries: SMALL.entries.map((one) => (one.chunk < 0 ? one : { ...one, chunk: 1 - one.chunk })) }),
  ],
  ["hard-links-disagree", 3, fields(3, { mtime: 1 })],
  ["hard-link-leader-elsewhere", 3, fields(3, { leader: 5 })],
  ["hard-link-unmarked", 3, patch("whiteout", 3, [0])],
  ["hard-link-member-beyond", 3, patch("hardLinks", 8, [9])],
  ["hard-link-directory", 3, layer({ entries: SMALL.entries.map((one, at) => (at === 1 ? { ...one, leader: 1 } : one)) })],
];

export const REJECTIONS: readonly Rejection[] = CASES.map(([name, section, make]) => ({ name, section, make }));
