import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decode } from "@msgpack/msgpack";
import fc from "fast-check";
import { unpack } from "msgpackr";
import { encodeSidecar, Flag, indexSidecar, Sidecar, SidecarError, SidecarWriter } from "../../format/index.ts";
import { decodeHeader, encodeBinStart, encodeHeader } from "../../format/sidecar-header.ts";
import type { SidecarEntry } from "../../format/index.ts";
import { arbitraryLayer, directory, entryOf, layerOf, xattr } from "./arbitrary-layer.ts";

const root: SidecarEntry = entryOf("", directory);

describe("indexSidecar", () => {
  it("`indexSidecar()` gives the bytes of the indexed form, and nothing for one that has the index", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, async ({ indexed, unindexed }) => {
        const bytes = await encodeSidecar({ ...indexed, indexed: true });
        assert.deepEqual(await indexSidecar(await encodeSidecar({ ...unindexed, indexed: false })), bytes);
        assert.equal(await indexSidecar(bytes), undefined);
      }),
    );
  });
});

describe("SidecarWriter", () => {
  it("`encodeSidecar()` writes a map that two independent msgpack libraries read alike", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, async ({ indexed }) => {
        const bytes = await encodeSidecar({ ...indexed, indexed: true });
        const one = plain(unpack(bytes));
        assert.deepEqual(one, plain(decode(bytes)));
        assert.equal(one["shale"], "sidecar/1");
        assert.equal(one["count"], indexed.entries.length);
        assert.equal(one["live"], indexed.live);
        assert.equal(one["diffId"], Buffer.from(indexed.diffId).toString("hex"));
        assert.equal(one["chunks"], Buffer.from(indexed.chunks).toString("hex"));
      }),
    );
  });

  it("`encodeSidecar()` of what was decoded gives the same bytes", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, async ({ indexed }) => {
        const bytes = await encodeSidecar({ ...indexed, indexed: true });
        using sidecar = await Sidecar.fromBytes(bytes);
        const entries = Array.from({ length: sidecar.count }, (_, entry) => sidecar.entry(entry));
        const { diffId, live } = sidecar;
        const again = { diffId, live, entries, order: Uint32Array.from(sidecar.tarOrder()), chunks: sidecar.chunkTable(), indexed: true };
        assert.deepEqual(await encodeSidecar(again), bytes);
      }),
    );
  });

  it("`encodeSidecar()` writes mode rows of four bytes once there are more than 65,536", async () => {
    for (const rows of [65_536, 65_537]) {
      const names = Array.from({ length: rows - 1 }, (_, uid) => entryOf(String(uid).padStart(6, "0"), { uid }));
      const bytes = await encodeSidecar({ ...layerOf([root, ...names]), indexed: true });
      using sidecar = await Sidecar.fromBytes(bytes);
      assert.equal(sidecar.entry(sidecar.lookup("065534")).uid, 65_534);
      assert.equal(sidecar.entry(rows - 1).uid, rows - 2);
      assert.equal(Buffer.from(plain(unpack(bytes))["mode"] as string, "hex").length, rows * (rows > 65_536 ? 4 : 2));
    }
  });

  it("`SidecarWriter` gives the same bytes however many entries were expected", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, fc.oneof(fc.double({ min: -1, max: 50, noNaN: true }), fc.nat(4)), async ({ indexed }, expected) => {
        const writer = new SidecarWriter({ ...indexed, indexed: true, expected });
        for (const entry of indexed.entries) writer.add(entry);
        assert.deepEqual(await writer.finish(indexed), await encodeSidecar({ ...indexed, indexed: true }));
      }),
    );
  });

  it("`addNamed()` is `add()` for a path in two parts", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, async (forms) => {
        for (const form of ["indexed", "unindexed"] as const) {
          const layer = forms[form];
          const writer = new SidecarWriter({ ...layer, indexed: form === "indexed" });
          layer.entries.forEach((entry, number) => {
            const slash = entry.path.lastIndexOf("/");
            if (number >= layer.live) writer.add(entry);
            else writer.addNamed(entry.path.slice(0, Math.max(slash, 0)), entry.path.slice(slash + 1), entry);
          });
          assert.deepEqual(await writer.finish(layer), await encodeSidecar({ ...layer, indexed: form === "indexed" }));
        }
      }),
    );
  });

  it("`addNamed()` refuses what is no name in a directory, and entries that have none", () => {
    for (const [parent, name] of [
      ["", ""],
      ["", ".."],
      ["", "a/b"],
      ["a", "a\0b"],
      ["/a", "b"],
      ["a//b", "c"],
      ["a/..", "c"],
      ["a", "b".repeat(2 ** 20)],
    ] as const) {
      const writer = new SidecarWriter({ diffId: Buffer.alloc(32), indexed: true, live: 2 });
      writer.addNamed("", "", root);
      assert.throws(() => writer.addNamed(parent, name, entryOf("")), RangeError, `${parent}, ${name.slice(0, 9)}`);
    }
    const writer = new SidecarWriter({ diffId: Buffer.alloc(32), indexed: true, live: 1 });
    assert.throws(() => writer.addNamed("", "a", root), RangeError);
    writer.addNamed("", "", root);
    assert.throws(() => writer.addNamed("", "a", entryOf("")), RangeError);
  });

  for (const [what, fields] of [
    ["a size of 2^48", { size: 2 ** 48 }],
    ["a time that is no integer", { mtime: 0.5 }],
    ["a whole second of nanoseconds", { mtimeNs: 1e9 }],
    ["a negative owner", { uid: -1 }],
    ["a name that is no byte string", { path: "\u20ac" }],
    ["a path that leaves the root", { path: "../a" }],
    ["an absolute path", { path: "/a" }],
    ["a path with a NUL", { path: "a\0b" }],
    ["a second root", { path: "" }],
    [
      "xattrs out of order",
      {
        xattrs: [xattr("b", ""), xattr("a", "")],
      },
    ],
    [
      "an xattr named twice",
      {
        xattrs: [xattr("b", ""), xattr("b", "")],
      },
    ],
    ["a live entry that is marked shadowed", { flags: Flag.shadowed }],
    ["a hard link without a leader", { flags: Flag.hardLink }],
    ["an unknown flag", { flags: 64 }],
  ] satisfies [string, Partial<SidecarEntry>][]) {
    it(`\`add()\` refuses ${what}`, () => {
      const writer = new SidecarWriter({ diffId: Buffer.alloc(32), indexed: true, live: 2 });
      writer.add(root);
      assert.throws(() => writer.add({ ...entryOf("a"), ...fields }), RangeError);
    });
  }

  it("`add()` refuses indexed entries that are not sorted by directory and name", () => {
    for (const paths of [
      ["b", "a"],
      ["a", "a"],
      ["a", "b/x", "c"],
      ["d-/a", "d/a"],
    ]) {
      const writer = new SidecarWriter({ diffId: Buffer.alloc(32), indexed: true, live: 9 });
      writer.add(root);
      assert.throws(() => paths.forEach((path) => writer.add(entryOf(path))), RangeError, paths.join());
    }
  });

  it("`finish()` refuses an order, chunks, leaders or a number of live entries that do not fit the entries", async () => {
    const layer = layerOf([root, entryOf("a", { size: 1, offset: 512, chunk: 0 })]);
    const refused = [
      { order: new Uint32Array(1) },
      { order: Uint32Array.of(0, 2) },
      { chunks: Buffer.alloc(0) },
      { chunks: Buffer.alloc(33) },
      { live: 3 },
      { entries: [root, entryOf("a", { leader: 2 })] },
    ];
    for (const change of refused) await assert.rejects(encodeSidecar({ ...layer, indexed: true, ...change }), RangeError);
    assert.ok((await encodeSidecar({ ...layer, indexed: true })).length > 0);
  });
});

/** A decoded map with its bins in hexadecimal. */
function plain(map: unknown): Record<string, unknown> {
  const show = (value: unknown): unknown => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value);
  return Object.fromEntries(Object.entries(map as object).map(([key, value]) => [key, show(value)]));
}

describe("the header of a sidecar", () => {
  it("`decodeHeader()` reads what msgpackr writes, for numbers of every width, and refuses a longer spelling", async () => {
    const numbers = fc.oneof(fc.nat(127), fc.nat(255), fc.nat(65_535), fc.nat(0xffff_ffff)).map((count) => count || 1);
    await fc.assert(
      fc.asyncProperty(numbers, fc.boolean(), fc.array(fc.nat(), { minLength: 22, maxLength: 60 }), async (count, indexed, lengths) => {
        const header = { diffId: Buffer.alloc(32, 0xd1), count, live: count, indexed, lengths };
        const bytes = await encodeHeader(header);
        assert.deepEqual(decodeHeader(bytes, bytes.length), { ...header, end: bytes.length });
        // the whole map: the columns that the header promises are empty bins
        const columns = lengths.map((_, row) => encodeBinStart(`c${row}`, 0));
        const read = unpack(Buffer.concat([bytes, ...columns])) as Record<string, unknown>;
        assert.deepEqual([read["count"], read["live"], read["indexed"]], [count, count, Number(indexed)]);
        const at = bytes.indexOf("count") + "count".length;
        const wide = Buffer.from([0xce, 0, 0, 0, 0]);
        wide.writeUInt32BE(count, 1);
        const longer = Buffer.concat([bytes.subarray(0, at), wide, bytes.subarray(bytes.indexOf("live") - 1)]);
        if (count < 65_536) assert.throws(() => decodeHeader(longer, longer.length), SidecarError);
      }),
    );
  });
});
