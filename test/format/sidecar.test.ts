import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { encodeSidecar, Sidecar, SidecarError, verifySidecar } from "../../format/index.ts";
import { arbitraryLayer, directory, entryOf, layerOf } from "./arbitrary-layer.ts";
import type { Layer } from "./arbitrary-layer.ts";
import { withColumns } from "../../tools/sidecar-damage.ts";

const scratch: string = mkdtempSync(join(tmpdir(), "sidecar-"));
after(() => rmSync(scratch, { recursive: true }));

describe("Sidecar", () => {
  it("`Sidecar.fromBytes()` gives back what was encoded", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, async ({ indexed }) => {
        using sidecar = await Sidecar.fromBytes(await encodeSidecar({ ...indexed, indexed: true }));
        assert.deepEqual(contentOf(sidecar), contentOfLayer(indexed));
      }),
    );
  });

  it("`Sidecar.fromBytes()` gives the same answers for the unindexed form", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, async ({ indexed, unindexed }) => {
        using sidecar = await Sidecar.fromBytes(await encodeSidecar({ ...unindexed, indexed: false }));
        assert.equal(sidecar.indexed, false);
        assert.deepEqual(contentOf(sidecar), contentOfLayer(indexed));
      }),
    );
  });

  it("`lookup()`, `readdir()` and `withPrefix()` agree with a map of the paths", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, fc.string({ unit: fc.constantFrom("a", "b", "/", "\xff", ".") }), async ({ indexed }, stranger) => {
        using sidecar = await Sidecar.fromBytes(await encodeSidecar({ ...indexed, indexed: true }));
        const live = indexed.entries.slice(0, indexed.live);
        const model = new Map(live.map((entry, number) => [entry.path, number]));
        const asked = [...indexed.entries.map(({ path }) => path), stranger, ...live.map(({ path }) => `${path}/${stranger}`)];
        for (const path of asked) {
          const number = model.get(path) ?? -1;
          assert.equal(sidecar.lookup(path), number);
          const isDirectory = live[number]?.mode === 0o040755 || ((live[number]?.mode ?? 0) & 0o170000) === 0o040000;
          const range = sidecar.readdir(path);
          assert.equal(range !== undefined, isDirectory);
          const listed = range === undefined ? [] : live.slice(range.first, range.end).map((entry) => entry.path);
          assert.deepEqual(listed, isDirectory ? childrenOf(path, live) : []);
          const beneath = (other: string): boolean => other === path || path === "" || other.startsWith(`${path}/`);
          const expected = number === -1 ? [] : live.flatMap((entry, found) => (beneath(entry.path) ? [found] : []));
          assert.deepEqual([...sidecar.withPrefix(path)], expected);
        }
      }),
    );
  });

  it("`path()` of entries in any order is the path that `lookup()` finds them by", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, fc.infiniteStream(fc.nat()), async ({ indexed }, picks) => {
        using sidecar = await Sidecar.fromBytes(await encodeSidecar({ ...indexed, indexed: true }));
        for (const pick of picks.take(20)) {
          const entry = pick % indexed.live;
          assert.equal(sidecar.path(entry), indexed.entries[entry]?.path);
          assert.equal(sidecar.lookup(sidecar.path(entry)), entry);
        }
      }),
    );
  });

  it("`Sidecar.openFile()` answers alike however few blocks it may keep", async () => {
    const layer = largeLayer(3000);
    const file = join(scratch, "large");
    writeFileSync(file, await encodeSidecar({ ...layer, indexed: true }));
    for (const cacheBytes of [0, 131_072, 2 ** 30]) {
      using sidecar = await Sidecar.openFile(file, { cacheBytes });
      assert.deepEqual(contentOf(sidecar), contentOfLayer(layer));
      for (const [number, { path }] of layer.entries.entries()) assert.equal(sidecar.lookup(path), number);
    }
  });

  it("`Sidecar.fromBytes()` skips the columns of a later writer and lists them", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLayer, fc.uint8Array(), async ({ indexed, unindexed }, content) => {
        const added = [
          ["verity", Buffer.from(content)],
          ["x", Buffer.alloc(0)],
        ] as const;
        for (const bytes of [await encodeSidecar({ ...indexed, indexed: true }), await encodeSidecar({ ...unindexed, indexed: false })]) {
          const later = await withColumns(bytes, added);
          using sidecar = await Sidecar.fromBytes(later);
          assert.deepEqual(sidecar.unknownKeys, ["verity", "x"]);
          assert.deepEqual(contentOf(sidecar), contentOfLayer(indexed));
          assert.deepEqual((await verifySidecar(later)).unknownKeys, ["verity", "x"]);
        }
      }),
    );
  });

  it("`Sidecar.fromBytes()` refuses a key that stands twice, or that is none", async () => {
    const bytes = await encodeSidecar({ ...layerOf([entryOf("", directory)]), indexed: true });
    const none = Buffer.alloc(0);
    for (const keys of [["x", "x"], ["path"], ["sums"], [""], ["a b"], ["\xff"], Array.from({ length: 230 }, (_, number) => `k${number}`)])
      await assert.rejects(
        Sidecar.fromBytes(
          await withColumns(
            bytes,
            keys.map((key) => [key, none]),
          ),
        ),
        SidecarError,
        keys.join(),
      );
  });

  it("`Sidecar.openFile()` leaves no descriptor open, whether it succeeds or fails", async () => {
    const file = join(scratch, "descriptors");
    const bytes = await encodeSidecar({ ...layerOf([entryOf("", directory)]), indexed: true });
    const before = readdirSync("/proc/self/fd").length;
    for (const content of [bytes, bytes.subarray(1), bytes.subarray(0, -1), Buffer.alloc(0)]) {
      writeFileSync(file, content);
      await Sidecar.openFile(file).then(
        (sidecar) => sidecar.close(),
        () => undefined,
      );
    }
    assert.equal(readdirSync("/proc/self/fd").length, before);
  });

  it("`Sidecar.openFile()` leaves a descriptor open that it was given", async () => {
    const file = join(scratch, "descriptor");
    writeFileSync(file, await encodeSidecar({ ...layerOf([entryOf("", directory)]), indexed: true }));
    const fd = openSync(file, "r");
    (await Sidecar.openFile(fd)).close();
    (await Sidecar.openFile(fd)).close();
    closeSync(fd);
  });

  it("`Sidecar.openFile()` notices a file that became shorter while it was open", async () => {
    const file = join(scratch, "shorter");
    writeFileSync(file, await encodeSidecar({ ...largeLayer(3000), indexed: true }));
    using sidecar = await Sidecar.openFile(file);
    truncateSync(file, 70_000);
    assert.throws(() => [...sidecar.entriesInPathOrder()], SidecarError);
  });

  it("`close()` may be called twice, and nothing can be read after it", async () => {
    const sidecar = await Sidecar.fromBytes(await encodeSidecar({ ...layerOf([entryOf("", directory)]), indexed: true }));
    sidecar.close();
    sidecar.close();
    assert.throws(() => sidecar.entry(0), TypeError);
  });

  it("`entry()` and the columns refuse a number that is no entry's", async () => {
    using sidecar = await Sidecar.fromBytes(await encodeSidecar({ ...layerOf([entryOf("", directory)]), indexed: true }));
    for (const number of [-1, 1, Number.NaN, 2 ** 32]) {
      assert.throws(() => sidecar.entry(number), RangeError);
      assert.throws(() => sidecar.size(number), RangeError);
      assert.throws(() => sidecar.chunkId(number), RangeError);
    }
  });
});

/** Files of every size and time that is hard to hold, with names that are no UTF-8, over several blocks. */
function largeLayer(files: number): Layer {
  const names = Array.from({ length: files }, (_, number) => `\xff\xfe${String(number).padStart(6, "0")}`);
  const entries = names.map((name, number) =>
    entryOf(`d/${name}`, {
      size: 2 ** 40 + number,
      chunk: number,
      offset: 512 * (number + 1),
      mtime: -(number + 1) * 2 ** 31,
      mtimeNs: 999_999_999,
    }),
  );
  return layerOf([entryOf("", directory), entryOf("d", directory), ...entries]);
}

function childrenOf(path: string, live: Layer["entries"]): string[] {
  return live.map((entry) => entry.path).filter((other) => other !== "" && other.slice(0, Math.max(other.lastIndexOf("/"), 0)) === path);
}

function contentOf(sidecar: Sidecar): unknown {
  const shadowed = Array.from({ length: sidecar.count - sidecar.live }, (_, row) => sidecar.entry(sidecar.live + row));
  return {
    diffId: sidecar.diffId,
    entries: [...sidecar.entriesInPathOrder(), ...shadowed],
    order: [...sidecar.tarOrder()],
    chunks: sidecar.chunkTable(),
  };
}

function contentOfLayer({ diffId, entries, order, chunks }: Layer): unknown {
  return { diffId: Buffer.from(diffId), entries, order: [...order], chunks: Buffer.from(chunks) };
}
