import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { encodeSidecar, Flag, HeadersEncoder, OpDecoder, Sidecar, verifySidecar, type Xattr } from "../../format/index.ts";
import type { HeadersOp } from "../../format/index.ts";
import { treeId } from "../../src/tree/resolution.ts";
import { base32, chunkId } from "../../src/store/ids.ts";
import { encodeAttributes, inodeId } from "../../src/store/inode.ts";
import { chunkPath } from "../../src/store/layout.ts";
import { parseDiffId } from "../../src/image/digest.ts";
import { directory, entryOf } from "./arbitrary-layer.ts";
import type { Layer } from "./arbitrary-layer.ts";
import { listSidecar } from "./list-sidecar.ts";

const example: Layer = {
  diffId: Buffer.alloc(32, 0xd1),
  live: 5,
  entries: [
    entryOf("", { ...directory, flags: Flag.implicit }),
    entryOf("bin", { mode: 0o120777, target: "usr/bin", mtime: -1, mtimeNs: 500_000_000 }),
    entryOf("etc", { ...directory, flags: Flag.implicit }),
    entryOf("tmp", { mode: 0, flags: Flag.whiteout }),
    entryOf("etc/hostname", { size: 6, offset: 512, chunk: 0, mtime: 1_700_000_000 }),
  ],
  order: Uint32Array.of(4, 1, 3),
  chunks: Buffer.alloc(32, 0xc1),
};

const steps: readonly HeadersOp[] = [
  { kind: "literal", bytes: Buffer.from("abc") },
  { kind: "data" },
  { kind: "extent", offset: 4096, length: 512 },
  { kind: "end-data" },
];

describe("the specification", () => {
  it("`sidecar.md` has the bytes that its example is encoded to", async () => {
    const bytes = await encodeSidecar({ ...example, indexed: true });
    await verifySidecar(bytes);
    assert.equal(exampleOf("sidecar.md"), listSidecar(bytes));
  });

  it("`Sidecar` reads the bytes of the example in `sidecar.md`", async () => {
    const hex = exampleOf("sidecar.md")
      .replaceAll(/^.{23}/gm, "")
      .replaceAll(/\s/g, "");
    using sidecar = await Sidecar.fromBytes(Buffer.from(hex, "hex"));
    assert.deepEqual(sidecar.entry(sidecar.lookup("etc/hostname")), example.entries[4]);
    assert.deepEqual([...sidecar.tarOrder()], [...example.order]);
  });

  it("`headers.md` has the operations that its example is encoded to", () => {
    const bytes = Buffer.from(exampleOf("headers.md").replaceAll(/\s/g, ""), "hex");
    assert.deepEqual([...new OpDecoder().push(bytes)], steps);
    const encoder = new HeadersEncoder();
    encoder.literal(Buffer.from("abc"));
    encoder.data();
    encoder.extent(4096, 512);
    encoder.endData();
    // so short a frame is kept uncompressed: a frame header, then a block header, the operations and a checksum
    assert.ok(encoder.frame().includes(bytes));
  });
});

const xattrs: readonly Xattr[] = [{ name: "user.a", value: "b" } as Xattr];

describe("the specification of the store", () => {
  it("`store.md` has the inode id and the path that its example gives", () => {
    const [chunk = Buffer.alloc(0), ...rest] = ["chunk id", "mtime", "mtimeNs", "attributes"].map(hexOf);
    assert.deepEqual(chunk, hash("sha256", "hello\n", "buffer"));
    const attributes = encodeAttributes({ mode: 0o100644, uid: 1000, gid: 1001, xattrs });
    assert.deepEqual(rest[2], attributes);
    const id = inodeId(chunkId(chunk), { seconds: -1, nanoseconds: 500_000_000 }, attributes);
    assert.deepEqual(hexOf("inode id"), id);
    assert.deepEqual(hash("sha256", Buffer.concat([chunk, ...rest]), "buffer").subarray(0, 20), id);
    assert.equal(valuesOf("ordinal 2")[0], chunkPath("chunks", id, 2));
  });

  it("`store.md` has the tree ids that its examples give", () => {
    const diffId = parseDiffId(`sha256:${"d1".repeat(32)}`);
    const directories = [{ path: "etc" as Xattr["name"], mode: 0o700, uid: 1, gid: 2, xattrs }];
    const files = [{ path: "etc/x" as Xattr["name"], ordinal: 3 }];
    const ids = [treeId(diffId, "overlay", { directories: [], files: [] }), treeId(diffId, "overlay", { directories, files })];
    assert.deepEqual(valuesOf("tree id"), ids);
    const hashed = Buffer.from(/^hashed {6}(.*?)^tree id/ms.exec(STORE)?.[1]?.replaceAll(/\s/g, "") ?? "", "hex");
    assert.equal(base32(hash("sha256", hashed, "buffer")).slice(0, 26), ids[1]);
  });

  it("`store.md` has the key of a reference that its example gives", () => {
    const text = "docker.io/library/alpine:3.20\0linux/amd64";
    assert.deepEqual(valuesOf("key"), [base32(hash("sha256", text, "buffer")).slice(0, 32)]);
  });
});

const STORE: string = readFileSync(new URL("../../../format/store.md", import.meta.url), "utf8");

/** What stands behind a label at the start of a line, in every example. */
function valuesOf(label: string): string[] {
  return [...STORE.matchAll(new RegExp(`^${label} {2,}(.*)$`, "gm"))]
    .map((match) => match[1] ?? "")
    .filter((value) => !/[|A-Z]/.test(value));
}

function hexOf(label: string): Buffer {
  return Buffer.from((valuesOf(label).find((value) => /^[0-9a-f ]+$/.test(value)) ?? "").replaceAll(" ", ""), "hex");
}

/** The one code block of a page. */
function exampleOf(page: string): string {
  const text = readFileSync(new URL(`../../../format/${page}`, import.meta.url), "utf8");
  return /```\n([^`]*)\n```/.exec(text)?.[1] ?? "";
}
