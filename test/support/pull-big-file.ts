import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { buildImage, startRegistry } from "../../src/testing/index.ts";
import { bigLayer } from "./big-layer.ts";
import { pullInChild } from "./start-child.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** Resident memory of a pull, whatever the size of the image: Node itself, two workers, 16 MiB of slabs, 2 MiB a layer. */
const MEMORY = 250 * 1024 * 1024;

/** Pulls a layer with one file of so many bytes in a process of its own, and proves that its memory stayed flat. */
export async function pullBigFile(bytes: number): Promise<void> {
  await using directory = await temporaryDirectory();
  await using registry = await startRegistry();
  const layer = bigLayer(bytes);
  const reference = registry.push("big/file", "latest", buildImage({ layers: [layer] }));
  const { images, error, peakMemory, longestDelay, milliseconds } = await pullInChild({
    store: join(directory.path, "store"),
    references: [reference],
  });
  assert.equal(error, undefined);
  const rate = bytes / 1e6 / (milliseconds / 1000);
  process.stderr.write(
    `${(bytes / 2 ** 30).toFixed(1)} GiB: ${(milliseconds / 1000).toFixed(1)} s (${rate.toFixed(0)} MB/s), peak ${(peakMemory / 2 ** 20).toFixed(0)} MiB, event loop held up ${longestDelay.toFixed(0)} ms at most\n`,
  );
  assert.ok(peakMemory < MEMORY, `${peakMemory}`);
  const file = join(images[0]!.layers[0]!, "large");
  assert.equal(statSync(file).size, bytes);
  const [actual, expected] = [createHash("sha256"), createHash("sha256")];
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), actual);
  let left = bytes;
  for await (const piece of (layer.content as (offset: number) => AsyncIterable<Buffer>)(512)) {
    expected.update(piece.subarray(0, left));
    left -= Math.min(left, piece.length);
    if (left === 0) break;
  }
  assert.equal(actual.digest("hex"), expected.digest("hex"));
}
