/** Commands that create directories from images: materialize, rootfs, mount, umount. Mounting needs root. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";
import { startRealStore, type RealStore } from "./real-run.ts";

async function pulledImage(): Promise<RealStore & { readonly reference: string }> {
  const store = await startRealStore();
  const { reference } = await store.harness.pushEntries(
    "team/app",
    [
      { path: "etc/base", content: "base\n" },
      { path: "etc/gone", content: "gone\n" },
    ],
    [{ path: "etc/.wh.gone" }, { path: "etc/own", content: "own\n" }],
  );
  await store.harness.pull(reference, { materialize: "lazy" });
  return Object.assign(store, { reference });
}

interface Place {
  readonly directory: TemporaryDirectory;
  readonly target: string;
}

async function aTarget(): Promise<Place & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const target = join(directory.path, "target");
  mkdirSync(target);
  return { directory, target, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

test("`shale materialize` creates the directories of a stored image, and dematerialize deletes them", async () => {
  await using store = await pulledImage();
  const { layers, cached } = await store.json<{ layers: string[]; cached: boolean }>("materialize", store.reference);
  assert.equal(cached, true);
  assert.equal(readFileSync(join(layers[1] ?? "", "etc/own"), "utf8"), "own\n");
  await store.harness.reopen();
  const { images } = await store.json<{ images: { trees: string[]; inUse: unknown[] }[] }>("dematerialize", store.reference);
  assert.deepEqual([images[0]?.trees.length, images[0]?.inUse], [2, []]);
  assert.deepEqual(readdirSync(store.harness.file("trees")), []);
  assert.deepEqual(await store.failure("materialize", "no/such"), ["NOT_CACHED", 3]);
  assert.equal((await store.run(["dematerialize", "no/such"])).exitCode, 3);
});

for (const mode of ["link", "copy"] as const) {
  test(`\`shale rootfs --mode ${mode}\` creates the merged root file system`, async () => {
    await using store = await pulledImage();
    const destination = join(store.harness.path, "..", "root");
    const made = await store.json<Record<string, unknown>>("rootfs", "--mode", mode, store.reference, destination);
    assert.deepEqual(
      [made["mode"], made["path"], made["linked"], made["copied"]],
      [mode, destination, ...(mode === "link" ? [2, 0] : [0, 2])],
    );
    assert.deepEqual(readdirSync(join(destination, "etc")), ["base", "own"]);
    assert.equal(statSync(join(destination, "etc/base")).nlink > 1, mode === "link");
    assert.deepEqual(await store.failure("rootfs", store.reference, destination), ["DESTINATION_UNUSABLE", 1]);
  });
}

test("`shale rootfs` leaves nothing behind if it is interrupted", async () => {
  await using store = await pulledImage();
  const destination = join(store.harness.path, "..", "root");
  const { exitCode } = await store.run(["rootfs", store.reference, destination], { signal: AbortSignal.abort(new Error("interrupted")) });
  assert.equal(exitCode, 130);
  assert.ok(!existsSync(destination));
});

test("`shale mount` mounts the image read-only, and keeps it until umount", async () => {
  await using store = await pulledImage();
  await using place = await aTarget();
  const { target } = place;
  const { lease } = await store.json<{ lease: string }>("mount", store.reference, target);
  try {
    assert.deepEqual(readdirSync(join(target, "etc")), ["base", "own"]);
    assert.throws(() => writeFileSync(join(target, "etc/base"), "changed"), { code: "EROFS" });
    const { leases } = await store.json<{ leases: { name: string }[] }>("lease", "ls");
    assert.deepEqual(
      leases.map(({ name }) => name),
      [lease],
    );
    await store.run(["rm", "--gc", store.reference]);
    assert.equal(readFileSync(join(target, "etc/own"), "utf8"), "own\n");
  } finally {
    const ended = await store.json("umount", target);
    assert.deepEqual(ended, { target, unmounted: true, released: true });
  }
  assert.deepEqual(readdirSync(target), []);
  assert.deepEqual(await store.failure("umount", target), ["MOUNT_FAILED", 1]);
});

test("`shale mount --upper --work` writes changes to these directories", async () => {
  await using store = await pulledImage();
  await using place = await aTarget();
  const [upper, work] = ["upper", "work"].map((name) => join(place.directory.path, name));
  for (const directory of [upper, work]) mkdirSync(directory ?? "");
  assert.deepEqual(await store.failure("mount", store.reference, place.target, "--upper", upper ?? ""), ["USAGE", 2]);
  const { exitCode, stderr } = await store.run(["mount", store.reference, place.target, "--upper", upper ?? "", "--work", work ?? ""]);
  assert.equal(exitCode, 0, stderr);
  try {
    writeFileSync(join(place.target, "etc/own"), "changed");
    assert.equal(readFileSync(join(upper ?? "", "etc/own"), "utf8"), "changed");
  } finally {
    assert.equal((await store.run(["umount", place.target])).exitCode, 0);
  }
});

test("`shale umount` ends the lease of a mount that no longer exists", async () => {
  await using store = await pulledImage();
  await using place = await aTarget();
  await store.run(["lease", "add", `mount:${place.target}`, store.reference]);
  assert.deepEqual(await store.json("umount", place.target), { target: place.target, unmounted: false, released: true });
});
