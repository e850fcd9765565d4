import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeSidecar, Flag, Sidecar } from "../../format/index.ts";
import { WholeColumns } from "../../format/whole-columns.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../../src/store/profile.ts";
import { LayerEntries, within } from "../../src/tree/layer-entries.ts";
import { isLeader } from "../../src/tree/layer-inodes.ts";
import { arbitraryLayer } from "../format/arbitrary-layer.ts";

test("`LayerEntries` has each live entry where its type, flags and content say", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryLayer, async ({ indexed }) => {
      using sidecar = await Sidecar.fromBytes(await encodeSidecar({ ...indexed, indexed: true }));
      const found = new LayerEntries(sidecar, new WholeColumns(sidecar));
      const live = Array.from({ length: sidecar.live }, (_, entry) => entry);
      const type = (entry: number): number => sidecar.mode(entry) & S_IFMT;
      const leaders = live.filter((entry) => type(entry) !== 0 && type(entry) !== S_IFDIR && isLeader(sidecar, entry));
      const files = leaders.filter((entry) => type(entry) === S_IFREG);
      const expected = {
        directories: live.filter((entry) => entry > 0 && type(entry) === S_IFDIR),
        files,
        linked: files.filter((entry) => sidecar.chunk(entry) >= 0),
        specials: leaders.filter((entry) => type(entry) !== S_IFREG),
        markers: live.filter((entry) => sidecar.flags(entry) & (Flag.whiteout | Flag.opaque)),
        implied: live.filter((entry) => sidecar.flags(entry) & Flag.implicit),
      };
      for (const [name, entries] of Object.entries(expected)) assert.deepEqual([...found[name as keyof typeof expected]], entries, name);
    }),
  );
});

test("`within()` gives the part of a list that lies in a range", () => {
  const list = Uint32Array.of(1, 4, 5, 9);
  assert.deepEqual([...within(list, 0, 10)], [1, 4, 5, 9]);
  assert.deepEqual([...within(list, 4, 9)], [4, 5]);
  assert.deepEqual([...within(list, 6, 9)], []);
  assert.deepEqual([...within(Uint32Array.of(), 0, 5)], []);
});
