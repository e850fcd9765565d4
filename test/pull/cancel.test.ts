/** Cancelling, dying workers and closing: the reason comes out, nothing is left, and the next pull works. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ProgressEvent } from "../../src/index.ts";
import { FileLock } from "../../src/system/file-lock.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";

async function threeLayers(harness: StoreHarness): Promise<string> {
  const contents = [0, 1, 2].map((layer) => [
    { path: `big-${layer}`, content: randomBytes(2_000_000) },
    ...Array.from({ length: 30 }, (_, index) => ({ path: `d${layer}/${index}`, content: `${layer} ${index}` })),
  ]);
  return (await harness.pushEntries("three/layers", ...contents)).reference;
}

const MOMENTS: readonly { name: string; when: (event: ProgressEvent) => boolean }[] = [
  { name: "while it resolves", when: ({ kind }) => kind === "resolving" },
  { name: "when it knows the layers", when: ({ kind }) => kind === "resolved" },
  { name: "when a download starts", when: ({ kind }) => kind === "download-started" },
  { name: "in a download", when: ({ kind }) => kind === "download-advanced" },
  { name: "when a sidecar is written", when: ({ kind }) => kind === "sidecar-started" },
  { name: "when a sidecar is complete", when: ({ kind }) => kind === "sidecar-complete" },
  { name: "when a layer is complete", when: ({ kind }) => kind === "ingest-complete" },
  { name: "when a tree is started", when: ({ kind }) => kind === "tree-started" },
  { name: "when a tree is complete", when: ({ kind }) => kind === "tree-complete" },
];

for (const { name, when } of MOMENTS) {
  test(`A pull that is cancelled ${name} rejects with the signal's reason and leaves nothing unfinished`, async () => {
    await using harness = await startStore();
    const reference = await threeLayers(harness);
    const abort = new AbortController();
    const reason = { why: "changed my mind" };
    const events: ProgressEvent[] = [];
    const onProgress = (event: ProgressEvent): void => {
      events.push(event);
      if (when(event)) abort.abort(reason);
    };
    const client = await harness.client();
    await assert.rejects(client.pull(reference, { signal: abort.signal, onProgress }), (error: unknown) => error === reason);
    assert.equal(events.at(-1)?.kind, "failed");
    await delay(50);
    assert.deepEqual(harness.staged(), []);
    const image = await harness.pull(reference);
    assert.equal(image.layers.length, 3);
    assert.deepEqual(harness.staged(), []);
  });
}

test("A pull with a signal that is aborted already asks nothing and rejects with its reason", async () => {
  await using harness = await startStore();
  const reference = await threeLayers(harness);
  await assert.rejects(harness.pull(reference, { signal: AbortSignal.abort("no") }), (error: unknown) => error === "no");
  assert.equal(harness.registry.requests.length, 0);
});

test("A cancelled pull does not end another pull of the same layers", async () => {
  await using harness = await startStore();
  const reference = await threeLayers(harness);
  harness.registry.misbehave({ match: /blobs/, times: 3, action: { kind: "drip", bytes: 100_000, everyMs: 3 } });
  const abort = new AbortController();
  const first = assert.rejects(harness.pull(reference, { signal: abort.signal }));
  const second = harness.pull(reference);
  await delay(40);
  abort.abort();
  await first;
  assert.equal((await second).layers.length, 3);
});

test("A pull that waits for the layers of other pulls is cancelled at once", async () => {
  await using harness = await startStore();
  const contents = [0, 1, 2].map((layer) => [{ path: `big-${layer}`, content: randomBytes(1_000_000) }]);
  const { reference, image } = await harness.pushEntries("three/layers", ...contents);
  const other = await harness.pushEntries("other/image", [{ path: "other", content: "other" }]);
  for (const { digest } of image.layers)
    harness.registry.misbehave({ match: new RegExp(digest), times: 1, action: { kind: "stall", after: 100_000 } });
  const [stalled, cancelled] = [new AbortController(), new AbortController()];
  const started = Promise.withResolvers<void>();
  let downloads = 0;
  const onStalled = ({ kind }: ProgressEvent): void => {
    if (kind === "download-started" && ++downloads === 3) started.resolve();
  };
  const first = assert.rejects(harness.pull(reference, { signal: stalled.signal, onProgress: onStalled }));
  await started.promise;
  const reason = { why: "no patience" };
  const onResolved = ({ kind }: ProgressEvent): void => {
    if (kind === "resolved") setTimeout(() => cancelled.abort(reason), 100);
  };
  const second = harness.pull(other.reference, { signal: cancelled.signal, onProgress: onResolved });
  second.catch(() => undefined);
  const ended = await Promise.race([second.catch((error: unknown) => error), delay(3000, "still waiting")]);
  stalled.abort();
  await first;
  assert.equal(ended, reason);
  assert.equal((await harness.pull(other.reference)).layers.length, 1);
});

test("`image.materialize()` heeds its own signal and no other call's", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("some/image", [{ path: "file", content: "x" }]);
  await using image = await (await harness.client()).pull(reference, { materialize: "lazy" });
  const [one, two] = [new AbortController(), new AbortController()];
  const lock = FileLock.try(harness.file("locks", `tree-${image.layers[0]!.slice(-26)}`));
  const calls = [one.signal, two.signal, undefined].map((signal) => image.materialize({ signal }).catch((error: unknown) => error));
  two.abort("two");
  assert.equal(await Promise.race([calls[1], delay(2000, "still waiting")]), "two");
  one.abort("one");
  assert.equal(await calls[0], "one");
  lock?.release();
  assert.equal(await calls[2], undefined);
  assert.ok(existsSync(image.layers[0]!));
});
