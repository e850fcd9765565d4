/** The benchmark at its smallest: counts and shapes, never times. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Result } from "../../tools/bench/result.ts";
import { PROJECT } from "../../tools/project.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("`npm run bench` measures a cold pull and the floor beneath it, and tells what it found", async () => {
  await using directory = await temporaryDirectory();
  const json = join(directory.path, "result.json");
  const choice = ["--rounds", "1", "--images", "base", "--peers", "shale,floor", "--scenarios", "cold,disk", "--keep-caches"];
  const places = ["--directory", directory.path, "--json", json];
  const output = await run(process.execPath, [join(PROJECT, "dist/tools/bench.js"), ...choice, ...places]);
  const result = JSON.parse(await readFile(json, "utf8")) as Result;
  const [image] = result.images;
  assert.ok(image!.entries > 5000 && image!.unpacked > image!.bytes);
  assert.deepEqual(
    result.cold.map(({ peer, samples, failure }) => ({ peer, samples: samples.length, failure })),
    [{ peer: "shale", samples: 1, failure: undefined }],
  );
  const sample = result.cold[0]!.samples[0]!;
  assert.ok(sample.wall > 0 && sample.cpu > 0 && sample.registryCpu >= 0);
  assert.ok(sample.peakRss > 40 * 1024 ** 2);
  const [unique, inBlocks, store] = result.disk;
  assert.ok(unique!.disk[0]! > image!.unpacked / 2 && unique!.disk[0]! < image!.unpacked);
  assert.ok(store!.disk[0]! >= unique!.disk[0]! && store!.disk[0]! < unique!.disk[0]! * 1.5, "the store holds each content once");
  assert.ok(sample.inodes > image!.entries && sample.names > image!.entries * 1.5);
  assert.ok(inBlocks!.disk[0]! > unique!.disk[0]!);
  const floor = Object.values(result.floors[0]!.samples[0]!);
  assert.equal(floor.length, 7);
  assert.ok(floor.every((seconds) => seconds > 0));
  assert.match(output.toString(), /^\| shale \| \d/m);
});
