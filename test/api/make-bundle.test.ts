import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeBundle, type Image } from "../../src/index.ts";
import type { TestEntry } from "../../src/testing/index.ts";
import { buildLayer } from "../../src/testing/index.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";

const BASE: readonly TestEntry[] = [
  { path: "etc/passwd", content: "root:x:0:0::/root:\napp:x:5:6::/home:\n" },
  { path: "etc/group", content: "extra:x:9:app\n" },
  { path: "bin/run", mode: 0o755, content: "#!\n" },
];

async function pull(here: StoreHarness, config: Readonly<Record<string, unknown>>, entries: readonly TestEntry[] = BASE): Promise<Image> {
  const { reference } = here.push("bundle", [await buildLayer(entries)], { config });
  return (await here.client()).pull(reference, { materialize: "lazy", pullPolicy: "always" });
}

function readConfig(bundle: string): { process: { user: unknown; args: unknown }; root: { readonly: boolean } } {
  return JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as ReturnType<typeof readConfig>;
}

for (const rootfs of ["copy", "link", "none"] as const) {
  test(`\`makeBundle()\` with ${rootfs} makes config.json and rootfs, and nothing beside them`, async () => {
    await using here = await startStore();
    await using image = await pull(here, { Cmd: ["/bin/run"], User: "app" });
    const path = here.file("..", "bundle");
    const bundle = await makeBundle(image, path, { rootfs });
    assert.equal(bundle.path, path.replace("/store/..", ""));
    assert.deepEqual(bundle.user, { uid: 5, gid: 6, additionalGids: [9] });
    assert.deepEqual(readdirSync(path).sort(), ["config.json", "rootfs"]);
    assert.equal(lstatSync(path).mode & 0o777, 0o700);
    const { process: own, root } = readConfig(path);
    assert.deepEqual([own.user, own.args, root.readonly], [{ uid: 5, gid: 6, additionalGids: [9] }, ["/bin/run"], rootfs === "link"]);
    if (rootfs !== "none") assert.equal(lstatSync(join(path, "rootfs/bin/run")).nlink, rootfs === "link" ? 2 : 1);
  });
}

test("`makeBundle()` reads passwd through symlinks inside the image, and never the host's", async () => {
  await using here = await startStore();
  const linked: TestEntry[] = [
    { path: "etc/passwd", type: "symlink", target: "../../../../usr/lib/passwd" },
    { path: "usr/lib/passwd", content: "app:x:77:78::/:\n" },
  ];
  await using image = await pull(here, { Cmd: ["x"], User: "app" }, linked);
  assert.equal((await makeBundle(image, here.file("..", "a"), { rootfs: "none" })).user.uid, 77);
  await using empty = await pull(here, { Cmd: ["x"], User: "root" }, [{ path: "etc/passwd", type: "symlink", target: "passwd" }]);
  await assert.rejects(makeBundle(empty, here.file("..", "b"), { rootfs: "none" }), { code: "USER_NOT_FOUND" });
});

test("`makeBundle()` that fails leaves nothing, and an empty directory as it was", async () => {
  await using here = await startStore();
  await using image = await pull(here, { Cmd: ["x"], User: "app\nroot" });
  const path = here.file("..", "bundle");
  await assert.rejects(makeBundle(image, path), { code: "CONFIG_INVALID" });
  const ids = [{ containerId: 0, hostId: 1000, size: 1 }];
  await assert.rejects(makeBundle(image, path, { user: "app", idMappings: { uids: ids, gids: ids } }), { code: "USER_NOT_FOUND" });
  const reason = new Error("enough");
  await assert.rejects(makeBundle(image, path, { user: "app", signal: AbortSignal.abort(reason) }), (error) => error === reason);
  await assert.rejects(makeBundle(image, path, { rootfs: "magic" as "copy" }), TypeError);
  assert.equal(existsSync(path), false);
  mkdirSync(path);
  writeFileSync(join(path, "mine"), "");
  await assert.rejects(makeBundle(image, path, { user: "app" }), { code: "DESTINATION_UNUSABLE" });
  await assert.rejects(makeBundle(image, here.file("..", "absent", "x"), { user: "app" }), { code: "DESTINATION_UNUSABLE" });
  assert.deepEqual(readdirSync(path), ["mine"]);
  assert.deepEqual(
    readdirSync(here.file("..")).filter((name) => name.startsWith(".shale-")),
    [],
  );
});
