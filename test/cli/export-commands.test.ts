/** Commands that write images for other tools: export, bundle; and pull from archives. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startRealStore, type RealStore } from "./real-run.ts";

async function pulledImage(
  config: Readonly<Record<string, unknown>> = { Cmd: ["/bin/x"] },
): Promise<RealStore & { readonly reference: string; place(name: string): string }> {
  const store = await startRealStore();
  const { buildLayer } = await import("../../src/testing/index.ts");
  const { reference } = store.harness.push("team/app", [await buildLayer([{ path: "bin/x", content: "#!\n", mode: 0o755 }])], { config });
  await store.harness.pull(reference, { materialize: "lazy" });
  return Object.assign(store, { reference, place: (name: string) => join(store.harness.path, "..", name) });
}

test("`shale export` writes an archive that `shale pull --as` reads, and reports a changed manifest", async () => {
  await using store = await pulledImage();
  const archive = `oci-archive:${store.place("app.tar")}`;
  const made = await store.json<{ sameManifest: boolean; manifestDigest: string; destination: string; layers: unknown[] }>(
    "export",
    "--compression",
    "zstd",
    store.reference,
    archive,
  );
  assert.deepEqual([made.sameManifest, made.destination, made.layers.length], [false, archive, 1]);
  const { stderr, stdout } = await store.run(["export", "--compression", "zstd", store.reference, archive]);
  assert.equal(stdout, `${archive} ${made.manifestDigest}\n`);
  assert.equal(stderr.trim().split("\n").length, 2);
  const pulled = await store.json<{ reference: string; manifestDigest: string }>("pull", "--as", "example.com/x:1", archive);
  assert.deepEqual([pulled.reference, pulled.manifestDigest], ["example.com/x:1", made.manifestDigest]);
});

test("`shale export` to standard output rejects --json, a terminal, and a missing image", async () => {
  await using store = await pulledImage();
  assert.equal((await store.run(["export", "--json", store.reference, "docker-archive:-"])).exitCode, 2);
  const terminal = { columns: 80, rows: 24 };
  assert.equal((await store.run(["export", store.reference, "oci-archive:-:x"], { terminal })).exitCode, 2);
  assert.deepEqual(await store.failure("export", "no/such", "oci:/x"), ["NOT_CACHED", 3]);
  assert.deepEqual(await store.failure("export", store.reference, "alpine"), ["REFERENCE_INVALID", 2]);
});

test("`shale bundle` creates a bundle from its options, and names omitted labels", async () => {
  const Labels = { "run.oci.handler": "wasm" };
  await using store = await pulledImage({ Cmd: ["/bin/x"], User: "5:6", Labels });
  const path = store.place("box");
  const options = ["--rootfs", "link", "--env", "A=1", "--env", "B=2", "--cwd", "/bin", "--hostname", "box", "--network", "host"];
  const made = await store.json<Record<string, unknown>>("bundle", ...options, store.reference, path, "echo", "hello");
  assert.deepEqual(
    [made["path"], made["user"], made["omittedLabels"]],
    [path, { uid: 5, gid: 6, additionalGids: [] }, ["run.oci.handler"]],
  );
  const config = JSON.parse(readFileSync(join(path, "config.json"), "utf8")) as {
    hostname: string;
    process: Record<string, unknown>;
    root: unknown;
  };
  assert.deepEqual([config.hostname, config.process["args"], config.process["cwd"]], ["box", ["echo", "hello"], "/bin"]);
  assert.deepEqual((config.process["env"] as string[]).slice(-2), ["A=1", "B=2"]);
  assert.deepEqual(config.root, { path: "rootfs", readonly: true });
  const second = await store.run(["bundle", store.reference, store.place("other")]);
  assert.match(second.stderr, /run\.oci\.handler/);
  assert.ok(existsSync(store.place("other/rootfs/bin/x")));
  assert.deepEqual(await store.failure("bundle", store.reference, path), ["DESTINATION_UNUSABLE", 1]);
});
