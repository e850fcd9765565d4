/** fsck of the catalog, beside other processes, on read-only stores, and as a program. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Level } from "level";
import { encodeHeadersStart, HeadersEncoder } from "../../format/index.ts";
import { exitStatus } from "../../src/fsck/finding.ts";
import { fsck } from "../../src/fsck/fsck.ts";
import { Registry, ShaleError } from "../../src/index.ts";
import { digestFileName, parseDiffId } from "../../src/image/digest.ts";
import type { TreeId } from "../../src/store/ids.ts";
import { FileLock } from "../../src/system/file-lock.ts";
import { buildLayer } from "../../src/testing/index.ts";
import { PROJECT } from "../../tools/project.ts";
import { localStore } from "../support/local-images.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { collect, damagedStore, flipByte, kindsOf, overwriteQuietly, type DamagedStore } from "./damaged-store.ts";

describe("fsck and the catalog", () => {
  it("`fsck()` never fails on a catalog with a flipped byte, and a repair rebuilds it", async () => {
    await using store = await damagedStore();
    await store.local.store.close();
    const tables = readdirSync(store.layout.db).filter((name) => /\.(?:ldb|log)$/.test(name));
    for (const table of tables) {
      for (const at of [3, 40, -5]) {
        if (!existsSync(join(store.layout.db, table)) || readFileSync(join(store.layout.db, table)).length < 100) continue;
        flipByte(join(store.layout.db, table), at);
        const found = await store.check({ repair: true });
        assert.ok(
          found.every(({ kind, state }) => kind.startsWith("catalog-") && state === "corrected"),
          JSON.stringify(found),
        );
        assert.deepEqual(await store.check(), []);
      }
    }
  });

  it("`fsck()` rebuilds a missing catalog with the same keys and values", async () => {
    await using store = await damagedStore();
    await store.local.store.close();
    const before = await contentOf(store.layout.db);
    assert.ok(before.length > 8);
    rmSync(store.layout.db, { recursive: true });
    assert.equal(exitStatus(await store.check({ repair: true })), 1);
    assert.deepEqual(await contentOf(store.layout.db), before);
  });

  it("`fsck()` stops waiting for a catalog that another process holds", async () => {
    await using store = await damagedStore();
    using held = FileLock.try(store.layout.lock("db"));
    assert.ok(held);
    const found = await store.check({ patienceMs: 100 });
    assert.deepEqual(
      found.map(({ kind }) => kind),
      ["catalog-busy"],
    );
  });

  it("`fsck()` never opens LevelDB's own lock", async () => {
    await using store = await damagedStore();
    const trace = join(store.layout.root, "../trace");
    await run("strace", [
      "-f",
      "-e",
      "trace=openat,open",
      "-o",
      trace,
      process.execPath,
      join(PROJECT, "dist/tools/fsck.js"),
      store.layout.root,
    ]);
    const opened = readFileSync(trace, "utf8")
      .split("\n")
      .filter((line) => line.includes(`${store.layout.db}/`));
    assert.ok(opened.some((line) => line.includes("CURRENT")));
    assert.deepEqual(
      opened.filter((line) => line.includes("/LOCK")),
      [],
    );
  });
});

describe("fsck of all profiles and at level full", () => {
  it("`fsck()` finds valid headers of another layer at level full only, and repairs them", async () => {
    await using store = await damagedStore();
    const headers = join(store.layout.layer(store.top.diffId), "headers");
    const encoder = new HeadersEncoder();
    encoder.literal(Buffer.alloc(512));
    encoder.data();
    writeFileSync(headers, Buffer.concat([encodeHeadersStart(Buffer.from(store.top.diffId.slice(7), "hex")), encoder.frame()]));
    assert.deepEqual(await store.check(), []);
    const found = await store.check({ level: "full" });
    assert.deepEqual(kindsOf(found), ["layer-content"]);
    assert.deepEqual(found[0]?.images, [store.local.reference("two")]);
    assert.equal(exitStatus(await store.check({ level: "full", repair: true })), 1);
    assert.equal((await store.local.pullAgain("two")).cached, false);
    assert.deepEqual(await store.check({ level: "full" }), []);
  });

  it("`fsck()` checks the inodes and trees of every profile", async () => {
    await using store = await damagedStore();
    const trees = (await store.local.pullAgain("two", { profile: "userxattr" })).layers;
    assert.deepEqual(await store.check({ level: "full" }), []);
    overwriteQuietly(join(trees[0]!, "alone"));
    const found = await store.check();
    assert.deepEqual(kindsOf(found), ["chunk-content"]);
    assert.deepEqual(found[0]?.trees, [trees[0]?.split("/").at(-1)]);
    assert.equal(exitStatus(await store.check({ repair: true })), 1);
    assert.deepEqual(await store.check({ level: "full" }), []);
    assert.equal(readFileSync(join(trees[0]!, "alone"), "latin1"), "nowhere else\n");
    assert.equal((await store.local.pullAgain("two")).cached, true);
  });
});

describe("fsck beside other processes", () => {
  it("`fsck()` reports nothing while other handles pull into the store, also with force", async () => {
    await using directory = await temporaryDirectory();
    await using local = await localStore(directory.path);
    const layers = await Promise.all(
      [1, 2, 3].map((n) =>
        buildLayer(Array.from({ length: 300 }, (_, at) => ({ path: `${n}/${at}`, content: `${at % 50} of layer ${at % 2 ? n : 0}` }))),
      ),
    );
    await local.pull("image", layers);
    const state = { pulling: true };
    const pulls = (async () => {
      for (let round = 0; round < 6; round++) {
        await local.pullAgain("image", { force: true });
        await local.pull(`other${round}`, [...layers, await buildLayer([{ path: `round${round}`, content: `${round}` }])]);
      }
      state.pulling = false;
    })();
    let rounds = 0;
    for (; state.pulling; rounds++)
      assert.deepEqual(
        (await collect(local.path, { level: rounds % 2 ? "full" : "default" })).filter(({ severity }) => severity !== "note"),
        [],
      );
    await pulls;
    assert.ok(rounds > 0);
    assert.deepEqual(await collect(local.path, { level: "full" }), []);
  });

  it("`fsck()` keeps the record of an image that is in use", async () => {
    await using store = await damagedStore();
    const registry = new Registry({ store: store.local.store });
    const image = await registry.pull(store.local.reference("one"));
    rmSync(store.layout.config(configOf(store)));
    const found = await store.check({ repair: true });
    assert.equal(exitStatus(found), 4);
    await image.close();
    await registry.close();
    assert.equal(exitStatus(await store.check({ repair: true })), 1);
  });

  it("`fsck()` reports unused objects as notes, and a repair removes unused chunks, but young ones only if no ingest runs", async () => {
    await using store = await damagedStore();
    writeFileSync(join(store.layout.chunks, readdirSync(store.layout.chunks)[0]!, "a".repeat(30)), "x");
    mkdirSync(store.layout.tree("a".repeat(26) as TreeId));
    writeFileSync(join(store.layout.images, "manifests", digestFileName(store.base.digest)), store.base.content as Uint8Array);
    const ingest = FileLock.try(store.layout.layerLock(parseDiffId(`sha256:${"a".repeat(64)}`)));
    const found = await store.check({ repair: true });
    assert.deepEqual(
      found.map(({ kind }) => kind).sort((a, b) => (a < b ? -1 : 1)),
      ["chunk-unused", "document-unused", "tree-unknown"],
    );
    assert.ok(ingest);
    ingest.release();
    assert.equal(exitStatus(found), 0);
    assert.ok(statSync(store.layout.tree("a".repeat(26) as TreeId)).isDirectory());
    const old = await store.check({ repair: true });
    assert.deepEqual(
      old.filter(({ state }) => state === "corrected").map(({ kind }) => kind),
      ["chunk-unused"],
    );
    assert.deepEqual(
      (await store.check()).map(({ kind }) => kind).sort((a, b) => (a < b ? -1 : 1)),
      ["document-unused", "tree-unknown"],
    );
  });

  it("`fsck()` throws the signal's reason, and removes its staging directory when it is stopped early", async () => {
    await using store = await damagedStore();
    const abort = new AbortController();
    const reason = new Error("enough");
    const before = readdirSync(store.layout.staging);
    const onProgress = (): void => abort.abort(reason);
    await assert.rejects(store.check({ signal: abort.signal, onProgress }), reason);
    for await (const _ of fsck(store.local.store, { repair: true })) break;
    assert.deepEqual(readdirSync(store.layout.staging), before);
  });

  it("`fsck()` reads a read-only store, and refuses to repair it", async () => {
    await using store = await damagedStore();
    await store.local.store.close();
    overwriteQuietly(store.file("alone"));
    const mounted = join(store.layout.root, "../mounted");
    mkdirSync(mounted);
    await run("mount", ["--bind", store.layout.root, mounted]);
    try {
      await run("mount", ["-o", "remount,bind,ro", mounted]);
      assert.deepEqual(kindsOf(await collect(mounted, { level: "full" })), ["chunk-content", "layer-content"]);
      await assert.rejects(collect(mounted, { repair: true }), (error) => ShaleError.is(error, "STORE_UNWRITABLE"));
    } finally {
      await run("umount", [mounted]);
    }
  });
});

describe("tools/fsck", () => {
  it("`fsck` exits with 0, 1, 4, 8 and 16, and prints findings as JSON", async () => {
    await using store = await damagedStore();
    const program = (...args: string[]): { status: number | null; stdout: string } =>
      spawnSync(process.execPath, [join(PROJECT, "dist/tools/fsck.js"), ...args], { encoding: "utf8" });
    assert.equal(program(store.layout.root, "--full").status, 0);
    writeFileSync(store.file("empty"), "\x1b[31m");
    const { status, stdout } = program(store.layout.root, "--json");
    assert.equal(status, 4);
    const { kind, object, state } = (JSON.parse(stdout) as { findings: Record<string, unknown>[] }).findings[0] ?? {};
    assert.deepEqual([kind, object, state], ["tree-difference", `trees/${store.trees[0]?.split("/").at(-1)}`, "left"]);
    assert.equal(program(store.layout.root, "--repair", "--dry-run").status, 4);
    assert.equal(program(store.layout.root, "--repair").status, 1);
    assert.equal(program(store.layout.root, "--quick").status, 0);
    assert.equal(program(join(store.layout.root, "not there")).status, 8);
    assert.equal(program("--no-such-option").status, 16);
    assert.equal(program("--quick", "--full", store.layout.root).status, 16);
  });

  it("`fsck --repair` fetches withdrawn layers, and only these, from the image's source", async () => {
    await using store = await damagedStore();
    const program = (...args: string[]): { status: number | null; stderr: string } =>
      spawnSync(process.execPath, [join(PROJECT, "dist/tools/fsck.js"), store.layout.root, ...args], { encoding: "utf8" });
    const chunk = store.chunk("alone");
    rmSync(chunk);
    rmSync(store.file("alone"));
    const { status, stderr } = program("--repair");
    assert.equal(status, 1, stderr);
    assert.match(stderr, /fetched again: oci:.*, 1 of [12] layers/);
    assert.equal(program("--full").status, 0);
    assert.equal(readFileSync(chunk, "utf8"), "nowhere else\n");
  });
});

async function contentOf(db: string): Promise<string[]> {
  const database = new Level<Buffer, Buffer>(db, { keyEncoding: "buffer", valueEncoding: "buffer", createIfMissing: false });
  await database.open();
  try {
    return (await database.iterator().all()).map(([key, value]) => `${key.toString("hex")} ${value.toString("hex")}`);
  } finally {
    await database.close();
  }
}

function configOf({ layout, base }: DamagedStore): Parameters<DamagedStore["layout"]["config"]>[0] {
  const files = readdirSync(join(layout.images, "configs")).map((name) => ({
    name,
    text: readFileSync(join(layout.images, "configs", name), "utf8"),
  }));
  const config = files.find(({ text }) => (JSON.parse(text) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids.join() === base.diffId);
  return config!.name.replace("-", ":") as ReturnType<typeof configOf>;
}
