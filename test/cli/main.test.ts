/** The program as a process: what only a process has. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { buildImage, buildLayer, startRegistry } from "../../src/testing/index.ts";
import type { RecordedRequest, TestImage } from "../../src/testing/index.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [MAIN, ...args]);
}

async function end(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  const [[code], stdout, stderr] = await Promise.all([
    once(child, "close") as Promise<[number | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  return { code, stdout, stderr };
}

async function anImage(): Promise<TestImage> {
  const noise = Buffer.from(Array.from({ length: 50_000 }, (_, at) => (at * 7919) % 251));
  return buildImage({
    layers: [
      await buildLayer([
        { path: "etc/name", content: "one" },
        { path: "noise", content: noise },
      ]),
    ],
  });
}

test("shale pulls, and the second time says that nothing was fetched", async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const reference = registry.push("app", "v1", await anImage());
  const args = ["pull", "--plain-http", "--store", join(directory.path, "store"), reference];
  const first = await end(start([...args, "--json"]));
  assert.deepEqual([first.code, first.stderr.includes("shale: ")], [0, false]);
  const { layers, cached } = JSON.parse(first.stdout) as { layers: string[]; cached: boolean };
  assert.equal(cached, false);
  assert.equal(await readFile(join(layers[0] ?? "", "etc/name"), "utf8"), "one");
  const { length } = registry.requests;
  const second = await end(start(args));
  assert.deepEqual(second.stdout.split("\n").slice(2), ["cached", ...layers, ""]);
  assert.equal(registry.requests.length, length);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`shale ends with 130 on ${signal}, leaves nothing half-made, and goes on the next time`, async () => {
    const image = await anImage();
    const isLayer = ({ path }: RecordedRequest): boolean => path.endsWith(image.layers[0]?.digest ?? "?");
    await using registry = await startRegistry({
      faults: [{ match: isLayer, times: 100, action: { kind: "stall", after: 100 } }],
    });
    await using directory = await temporaryDirectory();
    const reference = registry.push("app", "v1", image);
    const store = join(directory.path, "store");
    const args = ["pull", "--plain-http", "--store", store];
    const child = start([...args, reference]);
    const ended = end(child);
    while (!registry.requests.some(isLayer)) await delay(10);
    child.kill(signal);
    const { code, stdout, stderr } = await ended;
    assert.deepEqual([code, stdout], [130, ""]);
    assert.match(stderr, /^shale: INTERRUPTED: /m);
    assert.deepEqual(await readdir(join(store, "layers")), []);
    assert.deepEqual(await readdir(join(store, "trees")), []);
    await using healthy = await startRegistry();
    assert.equal((await end(start([...args, healthy.push("app", "v1", image)]))).code, 0);
  });
}

test("shale survives a reader that goes away", async () => {
  const child = start(["--help"]);
  child.stdout.destroy();
  const [[code, signal], stderr] = await Promise.all([once(child, "close") as Promise<[number | null, string | null]>, text(child.stderr)]);
  assert.equal(signal, null);
  assert.ok(code === 0 || code === 1);
  assert.equal(stderr, "");
});

test("shale tells its own version", async () => {
  const { version } = JSON.parse(await readFile(new URL("../../../package.json", import.meta.url), "utf8")) as { version: string };
  assert.deepEqual(await end(start(["--version"])), { code: 0, stdout: `${version}\n`, stderr: "" });
});
