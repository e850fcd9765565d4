import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NO_ROW } from "../../format/columns.ts";
import { encodeSidecar, Sidecar, SidecarError } from "../../format/index.ts";
import { WholeColumns } from "../../format/whole-columns.ts";
import { readColumns, resum } from "../../tools/sidecar-damage.ts";
import { arbitraryLayer, directory, entryOf } from "./arbitrary-layer.ts";

test("`WholeColumns` say of each entry what it says by itself", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryLayer, async ({ indexed }) => {
      using sidecar = await Sidecar.fromBytes(await encodeSidecar({ ...indexed, indexed: true }));
      const whole = new WholeColumns(sidecar);
      for (let entry = 0; entry < sidecar.count; entry++) {
        const chunk = whole.chunks[entry] === NO_ROW ? -1 : whole.chunks[entry]!;
        const found = [whole.flags[entry], whole.modeRows[entry], chunk, whole.sizes[entry], whole.mtimes[entry], whole.mtimesNs[entry]];
        const { flags, size, mtime, mtimeNs, chunk: row } = sidecar.entry(entry);
        assert.deepEqual(found, [flags, sidecar.modeRow(entry), row, size, mtime, mtimeNs]);
        if (chunk >= 0) assert.deepEqual(whole.chunkId(chunk), sidecar.chunkId(chunk));
      }
    }),
  );
});

test("`WholeColumns` refuse what breaks the format", async () => {
  const layer = {
    diffId: Buffer.alloc(32),
    live: 2,
    entries: [entryOf("", directory), entryOf("a", directory)],
    order: Uint32Array.of(0, 1),
  };
  const bytes = await encodeSidecar({ ...layer, chunks: Buffer.alloc(0), indexed: true });
  for (const name of ["whiteout", "mode", "chunk", "mtime", "mtimeNs"]) {
    const file = Buffer.from(bytes);
    const { start, length } = readColumns(file).find((column) => column.name === name)!;
    file.fill(0x7f, start + length / 2, start + length);
    await resum(file);
    using sidecar = await Sidecar.fromBytes(file);
    assert.throws(() => new WholeColumns(sidecar), SidecarError, name);
  }
});
