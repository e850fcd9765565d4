/** A server at its work: thousands of cached pulls at once in one process, and hundreds of processes at once. Latencies are told, and decide nothing. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { startStore } from "../support/store-harness.ts";

const LAYERS = [0, 1, 2].map((layer) =>
  Array.from({ length: 50 }, (_, index) => ({ path: `d${layer}/f${index}`, content: `${layer} ${index}` })),
);

test("One handle serves 10,000 cached pulls, a thousand at once, each with a lease of its own", async (t) => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("busy/image", ...LAYERS);
  const first = await harness.pull(reference);
  const registry = await harness.client();
  const requests = harness.registry.requests.length;
  const latencies: number[] = [];
  for (let batch = 0; batch < 10; batch++) {
    const pulls = Array.from({ length: 1000 }, async () => {
      const started = performance.now();
      await using image = await registry.pull(reference);
      latencies.push(performance.now() - started);
      assert.equal(image.cached, true);
      assert.deepEqual(image.layers, first.layers);
    });
    await Promise.all(pulls);
  }
  assert.equal(latencies.length, 10_000);
  assert.equal(harness.registry.requests.length, requests);
  assert.equal((await harness.store()).counters.cachedPulls, 10_000);
  t.diagnostic(`a thousand at once: ${describe(latencies)}`);
  const alone: number[] = [];
  for (let round = 0; round < 1000; round++) {
    const started = performance.now();
    await using image = await registry.pull(reference);
    alone.push(performance.now() - started);
    assert.equal(image.cached, true);
  }
  t.diagnostic(`one at a time: ${describe(alone)}`);
});

test("200 new processes at once get an image that is in the store", async (t) => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("crowded/image", ...LAYERS);
  const { layers } = await harness.pull(reference);
  const requests = harness.registry.requests.length;
  const program = new URL("../../src/cli/main.js", import.meta.url).pathname;
  const args = [program, "pull", reference, "--plain-http", "--quiet", "--json", "--store", harness.path];
  const latencies: number[] = [];
  const pulls = Array.from({ length: 200 }, async () => {
    const started = performance.now();
    const { stdout } = await promisify(execFile)(process.execPath, args);
    latencies.push(performance.now() - started);
    return JSON.parse(stdout) as { layers: string[]; cached: boolean };
  });
  for (const image of await Promise.all(pulls)) assert.deepEqual([image.cached, image.layers], [true, layers]);
  assert.equal(harness.registry.requests.length, requests);
  t.diagnostic(describe(latencies));
});

/** ms. */
function describe(latencies: readonly number[]): string {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): string => sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)]!.toFixed(2);
  return `median ${at(0.5)} ms, 95 % ${at(0.95)} ms, most ${at(1)} ms`;
}
