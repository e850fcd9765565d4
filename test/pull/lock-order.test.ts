/** Everything that takes locks, at once, from two handles: nothing waits for itself or crosswise. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openStore, Registry, type PullOptions, type Store } from "../../src/index.ts";
import { startStore } from "../support/store-harness.ts";

const ROUNDS = 3;

test("Pulls by force and not, collections, dropped trees and budgets end, whichever handle they are of", { timeout: 60_000 }, async () => {
  await using harness = await startStore();
  const common = [0, 1, 2].map((index) => [{ path: `common-${index}`, content: `${index}` }]);
  const references: string[] = [];
  for (const name of ["one", "two", "three"]) {
    const own = [{ path: name, content: Buffer.alloc(400_000, name) }];
    references.push((await harness.pushEntries(name, ...common, own)).reference);
  }
  await harness.store();
  const options = { profile: "overlay", maxBytes: 900_000, keepYoungerMs: 0 } as const;
  await using here = await openStore(harness.path, options);
  await using there = await openStore(harness.path, options);
  const client = (store: Store): Registry => new Registry({ store, plainHttp: true, hostDirectories: [], credentials: "anonymous" });
  await using clientHere = client(here);
  await using clientThere = client(there);
  const work = (store: Store, registry: Registry, at: number): Promise<unknown>[] => {
    const use = async (reference: string, how: PullOptions): Promise<void> => {
      await using image = await registry.pull(reference, how);
      await image.materialize();
      await image.dematerialize();
      await image.materialize();
    };
    const pulls = references.flatMap((reference, index) => [
      use(reference, { force: (at + index) % 2 === 0 }),
      use(reference, { materialize: index === at % 3 ? "lazy" : "eager" }),
    ]);
    return [...pulls, store.gc({ keepYoungerMs: 0, trees: true }), store.dematerialize(references[at % 3]!)];
  };
  for (let round = 0; round < ROUNDS; round++) {
    const results = await Promise.allSettled([...work(here, clientHere, round), ...work(there, clientThere, round + 1)]);
    assert.deepEqual(
      results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : [])),
      [],
    );
  }
});
