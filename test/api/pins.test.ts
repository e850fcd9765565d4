import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ShaleError } from "../../src/index.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";

const NOW = { keepYoungerMs: 0 } as const;

/** Pulled in this order, each with so many bytes of its own. */
async function pullEach(harness: StoreHarness, names: readonly string[], bytes = 1000): Promise<string[]> {
  const references: string[] = [];
  for (const name of names) {
    const { reference } = await harness.pushEntries(name, [{ path: name, content: name.padEnd(bytes, name) }]);
    await harness.pull(reference);
    references.push(reference);
  }
  return references;
}

async function cachedOf(harness: StoreHarness, references: readonly string[]): Promise<boolean[]> {
  const found: boolean[] = [];
  for (const reference of references) {
    await using image = await (await harness.store()).image(reference);
    found.push(image !== undefined);
  }
  return found;
}

test("`gc({ keepBytes })` never removes a pinned image, however long unused, and does once it is unpinned", async () => {
  await using harness = await startStore();
  const references = await pullEach(harness, ["a", "b", "c"]);
  await (await harness.store()).pin(references[0]!);
  await harness.reopen();
  const store = await harness.store();
  const result = await store.gc({ ...NOW, keepBytes: 0 });
  assert.deepEqual(result.references.map(({ reference }) => reference).sort(), references.slice(1).sort());
  assert.equal(result.remainingBytes, 1000);
  assert.deepEqual(await cachedOf(harness, references), [true, false, false]);
  assert.deepEqual(
    (await store.images())[0]?.reasons.map(({ kind }) => kind),
    ["reference", "pin"],
  );
  assert.equal(await store.unpin(references[0]!), true);
  assert.equal(await store.unpin(references[0]!), false);
  assert.equal((await store.gc({ ...NOW, keepBytes: 0 })).images.length, 1);
  assert.deepEqual(
    readdirSync(harness.file("chunks")).flatMap((name) => readdirSync(harness.file("chunks", name))),
    [],
  );
});

test("`remove()` refuses a pinned reference, and ends the pin when forced", async () => {
  await using harness = await startStore();
  const [reference] = await pullEach(harness, ["a"]);
  const store = await harness.store();
  await store.pin(reference!);
  await store.pin(reference!);
  await assert.rejects(
    store.remove(reference!),
    (error) => ShaleError.is(error, "REFERENCE_PINNED") && error.detail.reference === reference,
  );
  assert.deepEqual(
    (await store.pins()).map((pin) => [pin.reference, pin.manifestDigest !== undefined]),
    [[reference, true]],
  );
  assert.equal(await store.remove(reference!, { force: true }), true);
  assert.deepEqual(await store.pins(), []);
  assert.equal((await store.gc(NOW)).images.length, 1);
});

test("`pin()` of what is not in the store fails with NOT_CACHED", async () => {
  await using harness = await startStore();
  await assert.rejects((await harness.store()).pin("docker.io/library/absent:1"), (error) => ShaleError.is(error, "NOT_CACHED"));
});

test("A pin follows its reference when a pull moves it", async () => {
  await using harness = await startStore();
  const [reference] = await pullEach(harness, ["app"]);
  const store = await harness.store();
  await store.pin(reference!);
  const [{ manifestDigest: before } = {}] = await store.pins();
  await harness.pushEntries("app", [{ path: "app", content: "moved" }]);
  await harness.pull(reference!, { pullPolicy: "always" });
  const [{ manifestDigest: after } = {}] = await store.pins();
  assert.notEqual(after, before);
  const { images } = await store.gc({ ...NOW, keepBytes: 0 });
  assert.deepEqual(images, [before]);
});

test("`pins()` leaves out a damaged pin, with a warning, and `fsck` of a store with pins finds nothing", async () => {
  await using harness = await startStore();
  const [reference] = await pullEach(harness, ["app"]);
  const store = await harness.store();
  await store.pin(reference!);
  const { fsck } = await import("../../src/index.ts");
  const findings = [];
  for await (const finding of fsck(harness.path)) findings.push(finding.kind);
  assert.deepEqual(findings, []);
  const [name = ""] = readdirSync(harness.file("images", "pins"));
  writeFileSync(join(harness.file("images", "pins"), name), "nonsense");
  assert.deepEqual(await store.pins(), []);
  assert.deepEqual(harness.warnings, ["STORE_DAMAGED"]);
});

test("`leases()` lists leases by name with their images and ends, and leaves out those that are past", async () => {
  await using harness = await startStore();
  const [reference] = await pullEach(harness, ["app"]);
  await using image = await (await harness.client()).pull(reference!);
  const store = await harness.store();
  await store.lease("second", image);
  const first = await store.lease("first", image, { ttlMs: 60_000 });
  await store.lease("past", image, { ttlMs: 1 });
  await sleep(5);
  const leases = await store.leases();
  assert.deepEqual(
    leases.map(({ name, manifestDigest }) => [name, manifestDigest]),
    [
      ["first", image.manifestDigest],
      ["second", image.manifestDigest],
    ],
  );
  assert.ok(leases[0]!.expires! > Date.now() && leases[1]!.expires === undefined);
  assert.deepEqual(first, leases[0], "`lease()` returns the lease");
  await store.release("first");
  assert.equal((await store.leases()).length, 1);
});

test("`images()` lists the references of each image, with their platforms", async () => {
  await using harness = await startStore();
  const [one = "", two = ""] = await pullEach(harness, ["one", "two"]);
  const store = await harness.store();
  await store.pin(one);
  const images = await store.images();
  const platform = `linux/${process.arch === "x64" ? "amd64" : process.arch}`;
  assert.deepEqual(
    images.map(({ references }) => references).toSorted((a, b) => (a[0]!.reference < b[0]!.reference ? -1 : 1)),
    [[{ reference: one, platform }], [{ reference: two, platform }]],
  );
});
