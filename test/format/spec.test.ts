import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { encodeSidecar, Flag, HeadersEncoder, OpDecoder, Sidecar, verifySidecar } from "../../format/index.ts";
import type { HeadersOp } from "../../format/index.ts";
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

/** The one code block of a page. */
function exampleOf(page: string): string {
  const text = readFileSync(new URL(`../../../format/${page}`, import.meta.url), "utf8");
  return /```\n([^`]*)\n```/.exec(text)?.[1] ?? "";
}
