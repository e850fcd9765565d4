import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encodeSidecar, Sidecar } from "../../format/index.ts";
import { arbitraryLayer } from "./arbitrary-layer.ts";
import type { Layer } from "./arbitrary-layer.ts";

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
});

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
