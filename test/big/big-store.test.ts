/**
 * A store of 500 images and 2,000,000 files, on an ext4 in a file that is mounted for the test (needs root, strace, and 12 GB or less of
 * room; ten minutes and more). `SHALE_BIG_STORE=DIRECTORY` keeps the stores there and uses them again; `SHALE_BIG_IMAGES` makes fewer.
 * What is asserted is work, counted, never time.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openStore, type GcResult } from "../../src/index.ts";
import { acquireCatalogLock } from "../../src/store/catalog/catalog-lock.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { FileLock } from "../../src/system/file-lock.ts";
import { growStore } from "../support/big-store.ts";
import type { BigWork } from "../support/big-work.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const IMAGES = Number(process.env["SHALE_BIG_IMAGES"] ?? 500);
const SMALL = 20;
/** Files that an image has alone; with the ten shared layers, 500 images have two million. */
const OWN = 3920;
const SHARED = 40_000;
const PROGRAM: string = new URL("../support/big-work.js", import.meta.url).pathname;

test("The cost of one image in a store of two million files is its own", async (context) => {
  await using place = await openPlace();
  const small = await grow(context, join(place.path, "small"), SMALL);
  const large = await grow(context, join(place.path, "large"), IMAGES);
  const [few, many] = [await costOfOne(context, small), await costOfOne(context, large)];
  const more = IMAGES - SMALL;
  for (const step of ["pull", "gc"] as const) {
    const [keys, calls] = [many[step].levelKeys - few[step].levelKeys, many[step].calls - few[step].calls];
    context.diagnostic(`${step}: ${few[step].levelKeys} keys and ${few[step].calls} calls; in the large store ${keys} and ${calls} more`);
    // what a slice has no time for is looked up again: up to twice the keys, where all of the large store's would be ten times as many
    const slack = step === "gc" ? few[step].levelKeys : 2000;
    assert.ok(keys <= 5 * more + slack, `${step}: ${keys} keys more for ${more} images more`);
    assert.ok(calls <= 25 * more + 2000, `${step}: ${calls} calls more for ${more} images more`);
  }
  const { chunks } = many.gc.value as GcResult;
  assert.equal(chunks, OWN);
  assert.ok(many.gc.unlinks < OWN + 500, `${many.gc.unlinks} files removed for ${OWN}`);
  await besideGc(context, large);
  const usage = await work(context, "usage", large);
  const { value: total } = usage as { value: { chunks: number; images: number; unused: number } };
  assert.deepEqual([total.images, total.unused], [IMAGES, 0]);
  assert.equal(total.chunks, IMAGES * OWN + SHARED);
  assert.ok(usage.levelKeys < 2 * total.chunks, `${usage.levelKeys} keys read`);
  const first = await work(context, "gc", large, '{"keepBytes":1e15}');
  const again = await work(context, "gc", large, '{"keepBytes":1e15}');
  assert.equal((first.value as GcResult).remainingBytes, (again.value as GcResult).remainingBytes);
  assert.ok(again.levelKeys < 10 * IMAGES + 1000, `${again.levelKeys} keys to know the size of a store that has been counted`);
  assert.equal((await work(context, "quick", large)).value, 0, "fsck --quick finds nothing");
});

interface Place extends AsyncDisposable {
  readonly path: string;
}

async function openPlace(): Promise<Place> {
  const kept = process.env["SHALE_BIG_STORE"];
  if (kept !== undefined) {
    mkdirSync(kept, { recursive: true });
    return { path: kept, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const directory = await temporaryDirectory();
  const [disk, path] = [join(directory.path, "disk"), join(directory.path, "mounted")];
  mkdirSync(path);
  await run("truncate", ["-s", "12G", disk]);
  // small contents lie in their inodes
  await run("mkfs.ext4", ["-q", "-F", "-O", "inline_data", "-I", "512", "-N", "3000000", disk]);
  await run("mount", ["-o", "loop,noatime", disk, path]);
  const dispose = async (): Promise<void> => {
    await run("umount", [path]);
    await directory[Symbol.asyncDispose]();
  };
  return { path, [Symbol.asyncDispose]: dispose };
}

/** Pulls the images that are not there yet. */
async function grow(context: TestContext, path: string, images: number): Promise<string> {
  const present = await openStore(path, { profile: "overlay" });
  const { length } = await present.images();
  await present.close();
  const step = Math.max(SMALL, Math.round(images / 5));
  for (let from = length; from < images; from += step) {
    const times = await growStore(path, { images, chunks: images * OWN + SHARED }, { from, to: Math.min(images, from + step) });
    const [median, most] = [times.toSorted((a, b) => a - b)[times.length >> 1]!, Math.max(...times)];
    context.diagnostic(
      `images ${from} and more: a pull of ${OWN} new files took ${median.toFixed(0)} ms (median), ${most.toFixed(0)} ms (most)`,
    );
  }
  return path;
}

interface Cost extends BigWork {
  /** System calls that name a file. */
  readonly calls: number;
  readonly unlinks: number;
}

/** One image more, and gone again: once for the clock, once for the count. */
async function costOfOne(context: TestContext, store: string): Promise<{ pull: Cost; gc: Cost }> {
  const number = `${IMAGES + 1},${OWN}`;
  await work(context, "pull", store, number);
  await work(context, "remove", store, String(IMAGES + 1));
  await work(context, "gc", store, '{"dryRun":true}');
  await work(context, "gc", store);
  const pull = await counted(store, "pull", number);
  await work(context, "remove", store, String(IMAGES + 1));
  return { pull, gc: await counted(store, "gc", "") };
}

async function work(context: TestContext, operation: string, store: string, argument = ""): Promise<BigWork> {
  const result = JSON.parse((await run(process.execPath, [PROGRAM, operation, store, argument])).toString()) as BigWork;
  const { milliseconds, peakMemory, levelKeys } = result;
  const memory = `${(peakMemory / 2 ** 20).toFixed(0)} MiB`;
  context.diagnostic(
    `${store.split("/").at(-1)} ${operation} ${argument}: ${milliseconds.toFixed(0)} ms, peak ${memory}, ${levelKeys} keys`,
  );
  return result;
}

async function counted(store: string, operation: string, argument: string): Promise<Cost> {
  const log = `${store}-strace`;
  const options = ["-f", "-c", "-U", "calls,name", "-e", "trace=%file", "-o", log];
  const result = JSON.parse(
    (await run("strace", [...options, process.execPath, PROGRAM, operation, store, argument])).toString(),
  ) as BigWork;
  const rows = Array.from(readFileSync(log, "utf8").matchAll(/^\s*(\d+)\s+(\w+)$/gm), ([, calls, name]) => ({
    calls: Number(calls),
    name,
  }));
  const sum = (isWanted: (name: string) => boolean): number =>
    rows.reduce((total, { calls, name = "" }) => total + (isWanted(name) ? calls : 0), 0);
  return { ...result, calls: sum((name) => name !== "total"), unlinks: sum((name) => name.startsWith("unlink")) };
}

/** Two images go while another process pulls small ones: how long that has to wait, and for the locks alone. */
async function besideGc(context: TestContext, store: string): Promise<void> {
  const layout = new StoreLayout(store);
  const alone = await pullsDuring(store, () => new Promise((resolve) => setTimeout(resolve, 5000)));
  for (let number = 0; number < 2; number++) await work(context, "remove", store, String(number));
  const done = new AbortController();
  const waits = { db: 0, sweep: 0 };
  const watch = async (name: keyof typeof waits, take: () => Promise<FileLock>): Promise<void> => {
    while (!done.signal.aborted) {
      const start = performance.now();
      const lock = await take();
      waits[name] = Math.max(waits[name], performance.now() - start);
      lock.release();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  const watching = [
    watch("db", () => acquireCatalogLock(layout)),
    watch("sweep", () => FileLock.acquire(layout.lock("sweep"), { mode: "shared" })),
  ];
  const beside = await pullsDuring(store, () => work(context, "gc", store));
  done.abort();
  await Promise.all(watching);
  context.diagnostic(`small pulls alone: ${statistics(alone)}; while two images are removed: ${statistics(beside)}`);
  context.diagnostic(`longest wait while they are removed: ${waits.db.toFixed(0)} ms for db, ${waits.sweep.toFixed(0)} ms for sweep`);
  assert.ok(beside.length > 0);
  for (let number = 0; number < 2; number++) await work(context, "pull", store, `${number},${OWN}`);
  await work(context, "gc", store);
}

async function pullsDuring(store: string, during: () => Promise<unknown>): Promise<readonly number[]> {
  const child = spawn(process.execPath, [PROGRAM, "pulls", store], { stdio: ["pipe", "pipe", "inherit"] });
  const output: Buffer[] = [];
  child.stdout.on("data", (piece: Buffer) => output.push(piece));
  await during();
  child.stdin.end();
  await once(child, "close");
  return (JSON.parse(Buffer.concat(output).toString()) as { value: number[] }).value;
}

function statistics(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  return `${times.length}, median ${(sorted[times.length >> 1] ?? 0).toFixed(0)} ms, longest ${(sorted.at(-1) ?? 0).toFixed(0)} ms`;
}
