/**
 * SIGKILL at random points of a download: the next pull fetches only the rest, and the image is correct. `SHALE_KILL_ROUNDS` sets the
 * number of kills (default 3; `npm run test:kills` uses 50). `SHALE_KILL_SEED` repeats a run.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { RecordedRequest, TestImage } from "../../src/testing/index.ts";
import { layer, startStore, type StoreHarness } from "../support/store-harness.ts";

const ROUNDS = Number(process.env["SHALE_KILL_ROUNDS"] ?? 3);
const SEED = process.env["SHALE_KILL_SEED"] ?? randomBytes(4).toString("hex");
const CHILD = fileURLToPath(new URL("./pull-child.js", import.meta.url));
const LAYER_BYTES = 5_000_000;
const PIECE = 65_536;
/** About the time that one download takes below. */
const LONGEST_MS = 500;

test(`A download that is killed ${ROUNDS} times resumes where it stopped`, { timeout: ROUNDS * 30_000 }, async (context) => {
  context.diagnostic(`seed ${SEED}`);
  let [fetched, resumed, published, total] = [0, 0, 0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const result = await killOnce(round);
    fetched += result.fetched;
    resumed += result.resumed;
    published += result.published;
    total += result.total;
  }
  const parts = `${fetched} were fetched, ${resumed} taken from the killed download, ${published} were in published layers`;
  context.diagnostic(`${ROUNDS} rounds: of ${total} bytes of blobs ${parts}`);
  assert.ok(resumed > 0, "no kill hit a download");
});

async function killOnce(round: number): Promise<{ fetched: number; resumed: number; published: number; total: number }> {
  await using harness = await startStore();
  const contents = [0, 1].map((index) => noise(`${SEED} ${round} ${index}`));
  const layers = await Promise.all(contents.map((content, index) => layer([{ path: `file-${index}`, content }], { compression: "none" })));
  const { reference, image } = harness.push("kill/me", layers);
  let slow = true;
  const match = ({ path }: RecordedRequest): boolean => slow && path.includes("/blobs/");
  harness.registry.misbehave({ match, times: 1000, action: { kind: "drip", bytes: PIECE, everyMs: 5 } });
  await killChild(harness, reference, fraction(round) * LONGEST_MS);
  slow = false;
  const kept = partialDownloads(harness, image);
  const before = harness.registry.requests.length;
  const { stats, layers: trees } = await harness.pull(reference);
  assert.equal(
    stats.resumedBytes,
    kept.reduce((sum, { bytes }) => sum + bytes, 0),
  );
  const asked = harness.registry.requests.slice(before);
  for (const { digest, bytes } of kept) {
    const size = layers.find((one) => one.digest === digest)!.size;
    const ranges = asked.filter(({ path }) => path.endsWith(digest)).map(({ headers }) => headers["range"]);
    // killed before its first byte: there is nothing to resume, so no Range header
    const rest = bytes === 0 ? [undefined] : [`bytes=${bytes}-${size - 1}`];
    assert.deepEqual(ranges, bytes === size ? [] : rest);
  }
  for (const [index, content] of contents.entries()) assert.ok(readFileSync(join(trees[index]!, `file-${index}`)).equals(content));
  assert.deepEqual(partialDownloads(harness, image), []);
  const total = layers.reduce((sum, { size }) => sum + size, 0);
  const needed = (digest: string): boolean => kept.some((one) => one.digest === digest) || asked.some(({ path }) => path.endsWith(digest));
  const here = layers.filter(({ digest }) => !needed(digest));
  const published = here.reduce((sum, { size }) => sum + size, 0);
  assert.equal(stats.downloadedBytes + stats.resumedBytes + published, total);
  return { fetched: stats.downloadedBytes, resumed: stats.resumedBytes, published, total };
}

/** Kills the process this many ms after it requested the first byte of a layer, unless it has ended by then. */
async function killChild(harness: StoreHarness, reference: string, afterMs: number): Promise<void> {
  const child = spawn(process.execPath, [CHILD, harness.path, reference], { stdio: ["ignore", "ignore", "inherit"] });
  const exited = once(child, "exit");
  while (harness.blobRequests() < 2 && child.exitCode === null) await sleep(2);
  await sleep(afterMs);
  child.kill("SIGKILL");
  await exited;
}

function partialDownloads(harness: StoreHarness, image: TestImage): readonly { digest: string; bytes: number }[] {
  return image.layers.flatMap(({ digest }) => {
    const stat = statSync(harness.file("staging", "downloads", digest.replace(":", "-")), { throwIfNoEntry: false });
    return stat === undefined ? [] : [{ digest, bytes: stat.size }];
  });
}

/** Returns incompressible bytes that depend only on the seed. */
function noise(seed: string): Buffer {
  const blocks: Buffer[] = [];
  for (let index = 0; index * 64 < LAYER_BYTES; index++) blocks.push(createHash("sha512").update(`${seed} ${index}`).digest());
  return Buffer.concat(blocks).subarray(0, LAYER_BYTES);
}

function fraction(round: number): number {
  return createHash("sha256").update(`${SEED} ${round} kill`).digest().readUInt32LE(0) / 2 ** 32;
}
