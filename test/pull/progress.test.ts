/** What a pull tells: everything that starts ends, in a sensible order, and a sink can do no harm. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProgressEvent } from "../../src/index.ts";
import { startStore } from "../support/store-harness.ts";

const ENTRIES = [0, 1, 2].map((layer) => [
  { path: `big-${layer}`, content: randomBytes(1_500_000) },
  { path: `small-${layer}`, content: `${layer}` },
]);

/** The kinds of one layer's events of a family, advances left out. */
function kindsOf(events: readonly ProgressEvent[], index: number, family: RegExp): string[] {
  return events
    .filter((event) => "index" in event && event.index === index && family.test(event.kind) && !event.kind.endsWith("advanced"))
    .map(({ kind }) => kind);
}

test("A pull's events: resolved first, then each layer's in order, counts that only grow, and complete at the end", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("told/well", ...ENTRIES);
  const { events } = await harness.watch(reference);
  assert.deepEqual(
    events.slice(0, 2).map(({ kind }) => kind),
    ["resolving", "resolved"],
  );
  assert.deepEqual(events.at(-1), { kind: "complete", manifestDigest: image.manifest.digest, cached: false });
  for (const [index, layer] of image.layers.entries()) {
    assert.deepEqual(kindsOf(events, index, /^(?:download|ingest|layer)/), [
      "download-started",
      "ingest-started",
      "download-complete",
      "ingest-complete",
    ]);
    assert.deepEqual(kindsOf(events, index, /^sidecar/), ["sidecar-started", "sidecar-complete"]);
    assert.deepEqual(kindsOf(events, index, /^tree/), ["tree-started", "tree-complete"]);
    const bytes = events
      .filter((event) => event.kind === "download-advanced" && event.index === index)
      .map((event) => (event as { bytes: number }).bytes);
    assert.deepEqual(
      bytes,
      bytes.toSorted((a, b) => a - b),
    );
    const done = events.find((event) => event.kind === "download-complete" && event.index === index) as { bytes: number } | undefined;
    assert.equal(done?.bytes, layer.size);
    const ingested = events.find((event) => event.kind === "ingest-complete" && event.index === index) as { entries: number } | undefined;
    assert.equal(ingested?.entries, 3);
  }
});

test("A second pull that must ask tells that each layer is in the store, and one that need not tells that it is complete", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("told/again", ...ENTRIES);
  await harness.pull(reference);
  const { events } = await harness.watch(reference, { pullPolicy: "always" });
  for (const index of [0, 1, 2]) {
    assert.deepEqual(kindsOf(events, index, /./), ["layer-skipped", "tree-skipped"]);
  }
  assert.deepEqual(
    (await harness.watch(reference)).events.map(({ kind }) => kind),
    ["complete"],
  );
});

test("A pull that fails ends every layer it started, and itself, with a code", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("told/badly", ...ENTRIES);
  harness.registry.misbehave({ match: new RegExp(image.layers[1]!.digest), times: 9, action: { kind: "flip", at: 1_000_000 } });
  const { events, error } = await harness.watch(reference);
  assert.ok(error);
  assert.equal(events.at(-1)?.kind, "failed");
  for (const index of [0, 1, 2]) {
    const kinds = kindsOf(events, index, /^(?:download|ingest|layer)/);
    if (kinds.includes("download-started")) assert.ok(["ingest-complete", "layer-failed"].includes(kinds.at(-1)!), kinds.join());
  }
  const failed = events.filter((event) => event.kind === "layer-failed");
  assert.ok(failed.some((event) => event.index === 1 && event.code === "DIGEST_MISMATCH"));
  assert.equal((events.at(-1) as { code?: string }).code, "DIGEST_MISMATCH");
});

test("A sink that throws, or calls back into the store, does no harm", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("told/rudely", ...ENTRIES);
  const warned: Error[] = [];
  const listen = (warning: Error): number => warned.push(warning);
  process.on("warning", listen);
  const others: Promise<unknown>[] = [];
  const onProgress = (event: ProgressEvent): void => {
    if (event.kind === "ingest-complete") others.push(harness.pull(reference));
    throw new Error("rude sink");
  };
  assert.equal((await harness.pull(reference, { onProgress })).layers.length, 3);
  await Promise.all(others);
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", listen);
  assert.ok(others.length === 3 && warned.some(({ message }) => message.includes("rude sink")));
});

test("One process that pulls an image many times at once fetches each layer once", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("told/often", ...ENTRIES);
  const images = await Promise.all(Array.from({ length: 6 }, () => harness.pull(reference)));
  assert.equal(new Set(images.map(({ layers }) => layers.join())).size, 1);
  for (const { digest } of image.layers) assert.equal(harness.registry.requestsTo(new RegExp(`blobs/${digest}`)).length, 1);
});

test("pull() tells which layers are in the store before it has fetched any other, so that the whole is known", async () => {
  await using harness = await startStore();
  const base = [{ path: "base", content: "small" }];
  const { reference: one } = await harness.pushEntries("team/one", base);
  await harness.pull(one);
  const { reference: two } = await harness.pushEntries("team/two", ...ENTRIES, base);
  const kinds = (await harness.watch(two)).events.map(({ kind }) => kind);
  assert.ok(kinds.includes("layer-skipped") && kinds.includes("ingest-complete"));
  assert.ok(kinds.indexOf("layer-skipped") < kinds.indexOf("ingest-complete"));
});

test("A pull that waits for another pull of its process sees that one's download", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("some/image", [{ path: "big", content: randomBytes(6_000_000) }]);
  const blob = image.layers[0]!;
  const content = blob.content as Uint8Array;
  const waiter = { hasSeen: false };
  // slices come slowly until the waiter has reported a download, then all the rest at once
  const handle = async (_: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.writeHead(200, { "content-length": blob.size });
    let sent = 0;
    for (; sent < blob.size / 2 && !waiter.hasSeen; sent += 4096) {
      response.write(content.subarray(sent, sent + 4096));
      await sleep(5);
    }
    response.end(content.subarray(sent));
  };
  harness.registry.misbehave({ match: new RegExp(blob.digest), action: { kind: "handle", handle: (...args) => void handle(...args) } });
  const pull = async (): Promise<ProgressEvent[]> => {
    const events: ProgressEvent[] = [];
    const fetches = (): boolean => events.some(({ kind }) => kind === "download-started");
    const onProgress = (event: ProgressEvent): void => {
      events.push(event);
      waiter.hasSeen ||= event.kind === "download-advanced" && !fetches();
    };
    await harness.pull(reference, { onProgress });
    return events;
  };
  const both = await Promise.all([pull(), pull()]);
  const waiting = both.find((events) => events.some(({ kind }) => kind === "layer-skipped")) ?? [];
  const seen = waiting.filter((event) => event.kind === "download-advanced");
  assert.ok(seen.length > 0 && seen.every(({ bytes, total }) => bytes <= total && total === blob.size));
  assert.deepEqual(kindsOf(waiting, 0, /^(?:download|ingest|layer)/), ["layer-skipped"]);
});
