import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NO_ROW } from "../../format/columns.ts";
import { encodeSidecar, Sidecar, SidecarError } from "../../format/index.ts";
import { readChunkRows, readFlags, readModeRows } from "../../format/whole-columns.ts";
import { readColumns, resum } from "../../tools/sidecar-damage.ts";
import { arbitraryLayer, directory, entryOf } from "./arbitrary-layer.ts";

test("`readFlags()`, `readModeRows()` and `readChunkRows()` say of each entry what it says by itself", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryLayer, async ({ indexed }) => {
      using sidecar = await Sidecar.fromBytes(await encodeSidecar({ ...indexed, indexed: true }));
      const entries = Array.from({ length: sidecar.count }, (_, entry) => entry);
      assert.deepEqual(
        [...readFlags(sidecar)],
        entries.map((entry) => sidecar.flags(entry)),
      );
      assert.deepEqual(
        [...readModeRows(sidecar)],
        entries.map((entry) => sidecar.modeRow(entry)),
      );
      assert.deepEqual(
        [...readChunkRows(sidecar)].map((row) => (row === NO_ROW ? -1 : row)),
        entries.map((entry) => sidecar.chunk(entry)),
      );
    }),
  );
});

test("`readFlags()`, `readModeRows()` and `readChunkRows()` refuse what breaks the format", async () => {
  const layer = {
    diffId: Buffer.alloc(32),
    live: 2,
    entries: [entryOf("", directory), entryOf("a", directory)],
    order: Uint32Array.of(0, 1),
  };
  const bytes = await encodeSidecar({ ...layer, chunks: Buffer.alloc(0), indexed: true });
  const damaged = { whiteout: readFlags, mode: readModeRows, chunk: readChunkRows };
  for (const [name, read] of Object.entries(damaged)) {
    const file = Buffer.from(bytes);
    const { start, length } = readColumns(file).find((column) => column.name === name)!;
    file.fill(0x7f, start + length / 2, start + length);
    await resum(file);
    using sidecar = await Sidecar.fromBytes(file);
    assert.throws(() => read(sidecar), SidecarError, name);
  }
});
