/**
 * Pulls many images for later use, four at a time, into a store with a budget: images that were not used for the longest time are
 * removed to make space.
 *
 *     node examples/prefetch.mjs [--store DIR] [--plain-http] [--max-bytes BYTES] REFERENCE...
 */
import { parseArgs } from "node:util";
import { openStore, Registry, ShaleError } from "shale";

const JOBS = 4;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    store: { type: "string", default: "store" },
    "plain-http": { type: "boolean", default: false },
    "max-bytes": { type: "string", default: String(20e9) },
  },
});

const store = await openStore(values.store, {
  maxBytes: Number(values["max-bytes"]),
  // an image used in the last 5 minutes is never removed, so a prefetch does not evict its own images
  keepYoungerMs: 5 * 60_000,
  onEvicted: ({ references }) => {
    for (const { reference } of references) console.log(`removed ${reference}`);
  },
});
const registry = new Registry({ store, plainHttp: values["plain-http"] });
// all jobs take references from the same iterator
const waiting = positionals.values();
try {
  await Promise.all(Array.from({ length: JOBS }, prefetchWaiting));
} finally {
  await registry.close();
  // waits until the store is within its budget
  await store.close();
}

async function prefetchWaiting() {
  for (const reference of waiting) {
    try {
      // lazy: layers are ingested now; directories are created by the pull or mount that needs them
      const image = await registry.pull(reference, { materialize: "lazy" });
      console.log(`${image.cached ? "cached" : "pulled"} ${reference}`);
      await image.close();
    } catch (error) {
      if (!ShaleError.is(error)) throw error;
      console.error(`failed ${reference}: ${error.code}: ${error.message}`);
      process.exitCode = 1;
    }
  }
}
