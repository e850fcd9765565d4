/** Commands about the content of the store: images, inspect, du, why, rm, gc, pin, lease. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { startRealStore, type RealStore } from "./real-run.ts";

interface Listed {
  readonly images: readonly {
    readonly references: readonly { reference: string; platform: string }[];
    readonly manifestDigest: string;
    readonly size?: number;
    readonly shared?: number;
    readonly alone?: number;
    readonly reasons: readonly { kind: string }[];
  }[];
}

/** Two images that share a layer of 5 bytes; the second has 7 bytes of its own. */
async function twoImages(): Promise<RealStore & { readonly one: string; readonly two: string }> {
  const store = await startRealStore();
  const { harness } = store;
  const base = [{ path: "etc/base", content: "base\n" }];
  const { reference: one } = await harness.pushEntries("team/one", base);
  const { reference: two } = await harness.pushEntries("team/two", base, [{ path: "own", content: "seven..", mode: 0o600 }]);
  for (const reference of [one, two]) await harness.pull(reference);
  return Object.assign(store, { one, two });
}

test("`shale images` lists references with sizes and shared sizes in bytes", async () => {
  await using store = await twoImages();
  const { images } = await store.json<Listed>("images");
  assert.deepEqual(
    images.map(({ references, size, shared }) => [references[0]?.reference, size, shared]),
    [
      [store.one, 5, 5],
      [store.two, 12, 5],
    ],
  );
});

test("`shale images` fits the terminal, and shortens nothing without one", async () => {
  await using store = await twoImages();
  for (const columns of [20, 40, 60, 80]) {
    const { stdout } = await store.run(["images"], { terminal: { columns, rows: 24 }, env: { NO_COLOR: "1" } });
    const lines = stdout.split("\n");
    assert.equal(lines.length, 4);
    for (const line of lines) assert.ok(line.length <= columns, line);
    assert.match(lines[1] ?? "", /^127\.0/);
  }
  const { stdout } = await store.run(["images"]);
  assert.ok(stdout.includes(store.one) && stdout.includes(store.two));
});

test("`shale images` colours its header only on a terminal and without NO_COLOR", async () => {
  await using store = await twoImages();
  const terminal = { columns: 80, rows: 24 };
  assert.ok((await store.run(["images"], { terminal })).stdout.includes("\u001b["));
  for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
    assert.ok(!(await store.run(["images"], { terminal, env })).stdout.includes("\u001b["));
  }
  assert.ok(!(await store.run(["images"])).stdout.includes("\u001b["));
});

test("`shale images --quiet` prints references for `shale rm`, each once", async () => {
  await using store = await twoImages();
  const { stdout } = await store.run(["images", "-q"]);
  assert.equal(stdout, `${store.one}\n${store.two}\n`);
  const { exitCode } = await store.run(["rm", ...stdout.trim().split("\n")]);
  assert.equal(exitCode, 0);
  const { images } = await store.json<Listed>("images");
  assert.deepEqual(
    images.map(({ references }) => references),
    [[], []],
  );
});

test("`shale` does not create a store in a mistyped directory", async () => {
  await using store = await startRealStore();
  await using directory = await temporaryDirectory();
  for (const argv of [["images"], ["du"], ["gc"], ["ls", "a"], ["rm", "a"], ["lease", "ls"], ["pin"], ["why", "a"], ["fsck"]]) {
    const { exitCode } = await store.run([...argv, "--store", `${directory.path}/typo`]);
    assert.equal(exitCode, argv[0] === "fsck" ? 8 : 7, argv.join(" "));
    assert.ok(!existsSync(`${directory.path}/typo`), argv.join(" "));
  }
});

test("`shale inspect --raw` prints the exact bytes of the manifest, and with --config of the config", async () => {
  await using store = await twoImages();
  const { manifestDigest, configDigest } = await store.json<{ manifestDigest: string; configDigest: string }>("inspect", store.two);
  const digestOf = async (...argv: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await store.run(["inspect", ...argv, store.two]);
    assert.deepEqual([exitCode, stderr], [0, ""]);
    return `sha256:${hash("sha256", Buffer.from(stdout, "latin1"))}`;
  };
  assert.equal(await digestOf("--raw"), manifestDigest);
  assert.equal(await digestOf("--raw", "--config"), configDigest);
  const name = `${store.two.replace(/:[^/:]*$/, "")}@${manifestDigest}`;
  await store.harness.pull(name);
  assert.equal((await store.run(["inspect", "--raw", name])).stdout, (await store.run(["inspect", "--raw", store.two])).stdout);
});

test("`shale inspect --raw` fails with STORE_DAMAGED if the stored bytes are damaged", async () => {
  await using store = await twoImages();
  const { configDigest } = await store.json<{ configDigest: string }>("inspect", store.one);
  const path = join(store.harness.path, "images/configs", configDigest.replace(":", "-"));
  chmodSync(path, 0o600);
  writeFileSync(path, readFileSync(path, "utf8").replace("linux", "Linux"));
  const { exitCode, stdout } = await store.run(["inspect", "--raw", "--config", store.one]);
  assert.deepEqual([exitCode, stdout], [7, ""]);
  assert.equal((await store.run(["inspect", "--raw", store.one])).exitCode, 0);
});

test("`shale inspect --config` prints only the config", async () => {
  await using store = await twoImages();
  const whole = await store.json<{ config: object }>("inspect", store.one);
  assert.deepEqual(await store.json("inspect", "--config", store.one), whole.config);
});

test("`shale rm` suggests --force for a pinned reference", async () => {
  await using store = await twoImages();
  await store.run(["pin", store.one]);
  assert.deepEqual(await store.failure("rm", store.one), ["REFERENCE_PINNED", 9]);
  const { stderr } = await store.run(["rm", store.one]);
  assert.ok(stderr.includes("--force"));
  assert.equal((await store.run(["rm", "--force", store.one])).exitCode, 0);
});

test("`shale inspect` shows digests, config, and layers from bottom to top", async () => {
  await using store = await twoImages();
  interface Inspected {
    readonly reference: string;
    readonly manifestDigest: string;
    readonly config: { readonly diffIds: readonly string[] };
    readonly layers: readonly { readonly diffId: string; readonly tree: string }[];
  }
  const found = await store.json<Inspected>("inspect", store.two);
  const image = await store.harness.pull(store.two);
  assert.deepEqual([found.reference, found.manifestDigest], [store.two, image.manifestDigest]);
  assert.deepEqual(
    found.layers.map(({ diffId }) => diffId),
    found.config.diffIds,
  );
  assert.deepEqual(
    found.layers.map(({ tree }) => tree),
    image.layers,
  );
  const { stdout } = await store.run(["inspect", store.two]);
  assert.deepEqual(Object.keys(JSON.parse(stdout) as object), Object.keys(found));
  assert.ok(stdout.includes("\n  "));
});

test("`shale` suggests the platforms of a stored image, and a similar reference", async () => {
  await using store = await twoImages();
  for (const [argv, word] of [
    [["inspect", store.one, "--platform", "linux/s390x"], "linux/"],
    [["ls", store.one.replace("one", "onne")], store.one],
    [["rm", store.two.replace("two", "tow")], store.two],
  ] as const) {
    const { exitCode, stderr } = await store.run(argv);
    assert.equal(exitCode, 3);
    assert.ok(stderr.includes(word), stderr);
  }
});

test("`shale du` lists the largest image first, and counts each file once", async () => {
  await using store = await twoImages();
  const usage = await store.json<Listed & { bytes: number; chunks: number; layers: readonly unknown[] }>("du");
  assert.deepEqual([usage.bytes, usage.chunks, usage.layers.length], [12, 2, 2]);
  assert.deepEqual(
    usage.images.map(({ references, alone, shared }) => [references[0]?.reference, alone, shared]),
    [
      [store.two, 7, 5],
      [store.one, 0, 5],
    ],
  );
  assert.equal((await store.run(["du", "--quiet"])).stdout, "12\n");
  assert.match((await store.run(["du", "--layers", "--bytes"])).stdout, /^ *7 +0 +1 image +sha256:[0-9a-f]{64}$/m);
});

test("`shale rm` continues after a failure, and exits with the code of the first", async () => {
  await using store = await twoImages();
  const { exitCode, stdout, stderr } = await store.run(["rm", "no/such", store.one, "UPPER", "--json"]);
  const result = JSON.parse(stdout) as { removed: { reference: string }[]; failed: { reference: string; error: { code: string } }[] };
  assert.equal(exitCode, 3);
  assert.deepEqual(
    result.removed.map(({ reference }) => reference),
    [store.one],
  );
  assert.deepEqual(
    result.failed.map(({ reference, error }) => [reference, error.code]),
    [
      ["no/such", "NOT_CACHED"],
      ["UPPER", "REFERENCE_INVALID"],
    ],
  );
  assert.equal(stderr.trim().split("\n").length, 2);
  assert.deepEqual(await store.failure("rm", store.one), ["NOT_CACHED", 3]);
});

test("`shale rm --gc` immediately frees the space that only this image used", async () => {
  await using store = await twoImages();
  const { gc } = await store.json<{ gc: { images: string[]; bytes: number } }>("rm", "--gc", store.two);
  assert.deepEqual([gc.images.length, gc.bytes], [1, 7]);
  assert.deepEqual(await store.failure("ls", store.two), ["NOT_CACHED", 3]);
  assert.equal((await store.run(["ls", store.one])).exitCode, 0);
});

test("`shale rm --all-platforms` removes the reference for each platform", async () => {
  await using store = await startRealStore();
  const { reference } = await store.harness.pushEntries("team/one", [{ path: "a", content: "a" }]);
  for (const platform of ["linux/amd64", undefined]) {
    // a manifest without an image index serves any platform
    const pulled = await store.harness.watch(reference, { platform });
    assert.ok(pulled.image);
  }
  const { removed } = await store.json<{ removed: { platform: string }[] }>("rm", "--all-platforms", reference);
  assert.ok(removed.every(({ platform }) => platform.startsWith("linux/")));
  assert.deepEqual((await store.json<Listed>("images")).images[0]?.references, []);
});

test("`shale rm --all-platforms` removes the other platforms if one is pinned", async () => {
  await using store = await startRealStore();
  const { reference } = await store.harness.pushEntries("team/one", [{ path: "a", content: "a" }]);
  for (const platform of ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3"])
    assert.ok((await store.harness.watch(reference, { platform })).image, platform);
  assert.equal((await store.run(["pin", reference, "--platform", "linux/amd64"])).exitCode, 0);
  const { exitCode, stdout } = await store.run(["rm", "--json", "--all-platforms", reference]);
  const { removed, failed } = JSON.parse(stdout) as { removed: { platform: string }[]; failed: { error: { code: string } }[] };
  assert.deepEqual(removed.map(({ platform }) => platform).toSorted(), ["linux/amd64/v2", "linux/amd64/v3"]);
  assert.deepEqual([exitCode, failed.map(({ error }) => error.code)], [9, ["REFERENCE_PINNED"]]);
});

test("`shale gc --dry-run` shows what gc removes; recently used images stay", async () => {
  await using store = await twoImages();
  await store.run(["rm", store.two]);
  const young = await store.json<{ images: string[] }>("gc");
  assert.deepEqual(young.images, []);
  const planned = await store.json<{ images: string[]; layers: string[]; dryRun: boolean }>("gc", "--dry-run", "--keep-younger", "0");
  assert.deepEqual([planned.dryRun, planned.images.length, planned.layers.length], [true, 1, 1]);
  const done = await store.json<{ images: string[]; layers: string[]; dryRun: boolean; bytes: number }>("gc", "--keep-younger", "0");
  assert.deepEqual([done.dryRun, done.images, done.layers, done.bytes], [false, planned.images, planned.layers, 7]);
});

test("`shale gc --keep-bytes` accepts a size, and keeps pinned images", async () => {
  await using store = await twoImages();
  await store.run(["pin", store.two]);
  const { references, remainingBytes } = await store.json<{ references: { reference: string }[]; remainingBytes: number }>(
    "gc",
    "--keep-bytes",
    "1B",
    "--keep-younger",
    "0",
  );
  assert.deepEqual([references.map(({ reference }) => reference), remainingBytes], [[store.one], 12]);
});

test("`shale gc --trees` deletes directories, and materialize creates them again", async () => {
  await using store = await twoImages();
  const { layers } = await store.harness.pull(store.two);
  await store.harness.reopen();
  const { trees } = await store.json<{ trees: string[] }>("gc", "--trees", "--keep-younger", "0");
  assert.equal(trees.length, 2);
  assert.ok(layers.every((layer) => !existsSync(layer)));
  const { stdout } = await store.run(["materialize", "--quiet", store.two]);
  assert.equal(stdout, layers.map((layer) => `${layer}\n`).join(""));
  assert.ok(layers.every((layer) => existsSync(layer)));
});

test("`shale pin` protects a reference from rm, until unpin or --force", async () => {
  await using store = await twoImages();
  assert.equal((await store.run(["pin", store.one, store.two])).exitCode, 0);
  assert.deepEqual(
    (await store.json<{ pins: { reference: string }[] }>("pin")).pins.map(({ reference }) => reference),
    [store.one, store.two],
  );
  assert.deepEqual(await store.failure("rm", store.one), ["REFERENCE_PINNED", 9]);
  assert.deepEqual(await store.json("unpin", store.one), { unpinned: [store.one], failed: [] });
  assert.deepEqual(await store.failure("unpin", store.one), ["NOT_PINNED", 3]);
  assert.equal((await store.run(["rm", store.one])).exitCode, 0);
  assert.equal((await store.run(["rm", "--force", store.two])).exitCode, 0);
  assert.deepEqual(await store.failure("pin", store.two), ["NOT_CACHED", 3]);
});

test("`shale lease` adds, lists and removes leases, and shows when one expires", async () => {
  await using store = await twoImages();
  const before = Date.now();
  await store.run(["lease", "add", "forever", store.one]);
  const { expires } = await store.json<{ expires: number }>("lease", "add", "--ttl", "1h", "sandbox \u001b[2J", store.two);
  assert.ok(expires >= before + 3_600_000 && expires <= Date.now() + 3_600_000);
  const { leases } = await store.json<{ leases: { name: string; references: string[]; expires?: number }[] }>("lease", "ls");
  assert.deepEqual(
    leases.map(({ name, references }) => [name, references]),
    [
      ["forever", [store.one]],
      ["sandbox \u001b[2J", [store.two]],
    ],
  );
  const { stdout } = await store.run(["lease", "ls"], { now: before });
  assert.match(stdout, /^[\x20-\x7e\n]+$/);
  assert.match(stdout, /^forever +[0-9a-f]{12} +never/m);
  assert.match(stdout, /in 1 h/);
  assert.deepEqual(await store.json("lease", "rm", "forever"), { released: ["forever"], failed: [] });
  assert.deepEqual(await store.failure("lease", "rm", "forever"), ["LEASE_NOT_FOUND", 3]);
});

test("`shale lease` without a command is a usage error; with --help it lists its commands", async () => {
  await using store = await startRealStore();
  assert.deepEqual(await store.failure("lease"), ["USAGE", 2]);
  assert.deepEqual(await store.failure("lease", "list"), ["USAGE", 2]);
  const { exitCode, stdout } = await store.run(["lease", "--help"]);
  assert.equal(exitCode, 0);
  for (const word of ["add", "ls", "rm"]) assert.match(stdout, new RegExp(`^  lease ${word} `, "m"));
});

test("`shale why` shows the chains from a layer to its reasons", async () => {
  await using store = await twoImages();
  const { config } = await store.harness.pull(store.one);
  await store.run(["lease", "add", "mine", store.two]);
  interface Explained {
    readonly objects: readonly { readonly kind: string; readonly chains: readonly { readonly reason: { readonly kind: string } }[] }[];
  }
  const { objects } = await store.json<Explained>("why", config.diffIds[0] ?? "", "--keep-younger", "0");
  assert.deepEqual(
    objects.map(({ kind, chains }) => [kind, chains.map(({ reason }) => reason.kind).sort()]),
    [["layer", ["lease", "reference", "reference"]]],
  );
  const { stdout } = await store.run(["why", store.two]);
  assert.match(stdout, /^ {2}image [0-9a-f]{12} < lease "mine"$/m);
  assert.deepEqual(await store.failure("why", "no/such"), ["NOT_CACHED", 3]);
});
