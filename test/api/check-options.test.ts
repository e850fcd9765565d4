import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { exportImage, makeBundle, materializeRootfs, openStore, Registry } from "../../src/index.ts";
import { startStore } from "../support/store-harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

interface Refusal {
  readonly name: "TypeError" | "RangeError";
  /** Parts of the message. */
  readonly says: readonly string[];
}

function refused({ name, says }: Refusal): (error: unknown) => true {
  return (error) => {
    const { message, code } = error as Error & { code: string };
    assert.equal((error as Error).name, name, message);
    assert.equal(code, name === "RangeError" ? "ERR_OUT_OF_RANGE" : "ERR_INVALID_ARG_VALUE");
    for (const part of says) assert.ok(message.includes(part), `${JSON.stringify(message)} lacks ${JSON.stringify(part)}`);
    return true;
  };
}

const STORE_REFUSALS: readonly [string, object, Refusal][] = [
  ["an unknown key", { maxByte: 1 }, { name: "TypeError", says: ['"maxByte"', "maxBytes"] }],
  ["a negative budget", { maxBytes: -1 }, { name: "RangeError", says: ["maxBytes is -1", "bytes"] }],
  ["an infinite time", { keepYoungerMs: Infinity }, { name: "RangeError", says: ["keepYoungerMs is Infinity"] }],
  ["NaN", { minFreeBytes: NaN }, { name: "RangeError", says: ["minFreeBytes is NaN"] }],
  ["no workers", { workers: 0 }, { name: "RangeError", says: ["workers is 0", "1 to 64"] }],
  ["a callback that is a string", { onWarning: "log" }, { name: "TypeError", says: ['onWarning is "log"', "a function"] }],
  ["a flag that is a number", { requireProof: 1 }, { name: "TypeError", says: ["requireProof is 1", "true or false"] }],
];

test("`openStore()` refuses options it does not know or allow, and creates nothing", async () => {
  await using directory = await temporaryDirectory();
  for (const [name, options, refusal] of STORE_REFUSALS)
    await assert.rejects(openStore(join(directory.path, "store"), options), refused(refusal), name);
  await assert.rejects(openStore(42 as unknown as string), refused({ name: "TypeError", says: ["path is 42"] }));
  await assert.rejects(openStore(""), refused({ name: "TypeError", says: ['path is ""'] }));
  assert.deepEqual(readdirSync(directory.path), []);
});

const PULL_REFUSALS: readonly [string, object, Refusal][] = [
  ["a misspelt policy", { pullPolicy: "nevr" }, { name: "TypeError", says: ['pullPolicy is "nevr"', '"if-missing", "always", "never"'] }],
  ["an unknown key", { polcy: "never" }, { name: "TypeError", says: ['"polcy"', "pullPolicy"] }],
  ["a materialize that is a boolean", { materialize: false }, { name: "TypeError", says: ["materialize is false", '"lazy"'] }],
  ["a signal that is a controller", { signal: new AbortController() }, { name: "TypeError", says: ["signal is an object", "AbortSignal"] }],
  ["an input that is a string", { input: "archive" }, { name: "TypeError", says: ['input is "archive"', "async iterable"] }],
];

test("`pull()` refuses options it does not know or allow before it asks the registry", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("some/image", [{ path: "file", content: "x" }]);
  const registry = await harness.client();
  for (const [name, options, refusal] of PULL_REFUSALS) await assert.rejects(registry.pull(reference, options), refused(refusal), name);
  await assert.rejects(registry.pull(42 as unknown as string), refused({ name: "TypeError", says: ["reference is 42"] }));
  await assert.rejects(registry.pull(reference, null as unknown as object), refused({ name: "TypeError", says: ["options are null"] }));
  assert.equal(harness.registry.requests.length, 0);
  const image = await harness.pull(reference, { pullPolicy: undefined, force: undefined });
  assert.equal(image.cached, false);
});

const REGISTRY_REFUSALS: readonly [string, object, Refusal][] = [
  ["an unknown key", { insecur: true }, { name: "TypeError", says: ['"insecur"'] }],
  ["tries as a string", { retry: { tries: "3" } }, { name: "TypeError", says: ["retry is an object", "whose tries is"] }],
  ["no tries", { retry: { tries: 0 } }, { name: "RangeError", says: ["whose tries is"] }],
  ["an unknown key of retry", { retry: { count: 3 } }, { name: "TypeError", says: ["tries, firstDelayMs, maxDelayMs"] }],
  ["one range", { parallelRanges: { count: 1 } }, { name: "RangeError", says: ["2 to 8"] }],
  ["hosts as a number", { plainHttp: 80 }, { name: "TypeError", says: ["plainHttp is 80", "an array of hosts"] }],
  ["an unknown credential", { credentials: { user: "me", password: "secret" } }, { name: "TypeError", says: ["credentials is an object"] }],
];

test("`new Registry()` refuses options it does not know or allow, and shows no secret", async () => {
  await using harness = await startStore();
  const store = await harness.store();
  for (const [name, options, refusal] of REGISTRY_REFUSALS) {
    assert.throws(() => new Registry({ store, ...options }), refused(refusal), name);
    assert.throws(
      () => new Registry({ store, ...options }),
      (error) => !String(error).includes("secret"),
      name,
    );
  }
  assert.throws(() => new Registry({ store: {} as typeof store }), refused({ name: "TypeError", says: ["openStore()"] }));
});

test("methods of a store and functions on an image refuse options they do not know or allow", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("some/image", [{ path: "file", content: "x" }]);
  const store = await harness.store();
  await using image = await (await harness.client()).pull(reference);
  const unknown = { unknown: true } as object;
  const calls: readonly [string, () => Promise<unknown>, Refusal][] = [
    ["gc", () => store.gc(unknown), { name: "TypeError", says: ["gc()", '"unknown"'] }],
    ["gc with NaN", () => store.gc({ keepBytes: NaN }), { name: "RangeError", says: ["keepBytes is NaN"] }],
    ["image", () => store.image(reference, unknown), { name: "TypeError", says: ["image()"] }],
    ["remove", () => store.remove(reference, unknown), { name: "TypeError", says: ["remove()"] }],
    ["pin", () => store.pin(reference, unknown), { name: "TypeError", says: ["pin()"] }],
    ["unpin", () => store.unpin(reference, unknown), { name: "TypeError", says: ["unpin()"] }],
    ["dematerialize", () => store.dematerialize(reference, unknown), { name: "TypeError", says: ["dematerialize()"] }],
    ["usage", () => store.usage(unknown), { name: "TypeError", says: ["usage()"] }],
    ["why", () => store.why(reference, unknown), { name: "TypeError", says: ["why()"] }],
    ["lease for ever", () => store.lease("box", image, { ttlMs: Infinity }), { name: "RangeError", says: ["ttlMs is Infinity"] }],
    ["lease for NaN", () => store.lease("box", image, { ttlMs: NaN }), { name: "RangeError", says: ["ttlMs is NaN"] }],
    ["lease without a name", () => store.lease("", image), { name: "TypeError", says: ['name is ""'] }],
    ["exportLayer", () => store.exportLayer("sha256:0", unknown).next(), { name: "TypeError", says: ["exportLayer()"] }],
    ["exportImage", () => exportImage(image, "oci:/nowhere/x", unknown), { name: "TypeError", says: ["exportImage()"] }],
    ["makeBundle", () => makeBundle(image, "/nowhere/x", unknown), { name: "TypeError", says: ["makeBundle()"] }],
    [
      "materializeRootfs",
      () => materializeRootfs(image, "/nowhere/x", unknown as never),
      { name: "TypeError", says: ["materializeRootfs()"] },
    ],
    [
      "materializeRootfs without mode",
      () => materializeRootfs(image, "/nowhere/x", {} as never),
      { name: "TypeError", says: ["mode is undefined"] },
    ],
  ];
  for (const [name, call, refusal] of calls) await assert.rejects(call, refused(refusal), name);
  assert.deepEqual(await store.leases(), []);
  assert.deepEqual(await store.pins(), []);
});
