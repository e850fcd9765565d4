import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { inodeIdAt } from "../../src/store/ids.ts";
import { chunkPath } from "../../src/store/layout.ts";
import { replaceChunk } from "../../src/store/replace-chunk.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const CHILD: string = new URL("../support/replacing-child.js", import.meta.url).pathname;
const COUNT = 1000;

for (const way of ["ingest", "link"] as const) {
  test(`Two processes that ${way} what is wrong in chunks/ at the same time give no tree a file that is not its link source`, async () => {
    await using directory = await temporaryDirectory();
    const root = directory.path;
    for (const name of ["chunks", ...["first", "a", "b"].flatMap((who) => [`staging-${who}`, `tree-${who}`])]) mkdirSync(join(root, name));
    writeFileSync(join(root, "go"), "");
    await run(process.execPath, [CHILD, root, "first", "ingest", String(COUNT)]);
    rmSync(join(root, "go"));
    const chunks = readdirSync(join(root, "chunks"), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    assert.equal(chunks.length, COUNT);
    for (const { parentPath, name } of chunks) chmodSync(join(parentPath, name), 0o600);
    const start = async (name: string): Promise<string[]> =>
      JSON.parse((await run(process.execPath, [CHILD, root, name, way, String(COUNT)])).toString()) as string[];
    const both = Promise.all([start("a"), start("b")]);
    while (!["a", "b"].every((name) => existsSync(join(root, `ready-${name}`)))) await sleep(5);
    writeFileSync(join(root, "go"), "");
    const [a, b] = await both;
    assert.deepEqual(a, b);
    const apart = a.filter((hex, index) => {
      const source = lstatSync(chunkPath(join(root, "chunks"), inodeIdAt(Buffer.from(hex, "hex"), 0)));
      assert.equal(source.mode & 0o7777, 0o644);
      return ["a", "b"].some((name) => lstatSync(join(root, `tree-${name}`, String(index))).ino !== source.ino);
    });
    assert.equal(apart.length, 0, `${apart.length} of ${COUNT}`);
    for (const name of ["a", "b"]) assert.deepEqual(readdirSync(join(root, `staging-${name}`)), []);
  });
}

test("`replaceChunk()` replaces what is wrong, makes what is absent, and leaves alone what has become good", async () => {
  await using directory = await temporaryDirectory();
  const [path, staged] = [join(directory.path, "ab", "chunk"), join(directory.path, "staged")];
  const stage = (text: string): void => writeFileSync(staged, text);
  stage("made");
  assert.equal(
    replaceChunk(path, staged, () => assert.fail("nothing is there to look at")),
    true,
  );
  assert.equal(readFileSync(path, "utf8"), "made");
  stage("replaced");
  assert.equal(
    replaceChunk(path, staged, () => false),
    true,
  );
  assert.equal(readFileSync(path, "utf8"), "replaced");
  stage("late");
  assert.equal(
    replaceChunk(path, staged, () => true),
    false,
  );
  assert.deepEqual([readFileSync(path, "utf8"), readFileSync(staged, "utf8")], ["replaced", "late"]);
  rmSync(path);
  symlinkSync(staged, path);
  assert.equal(
    replaceChunk(path, staged, () => false),
    true,
  );
  assert.deepEqual([lstatSync(path).isFile(), readFileSync(path, "utf8"), existsSync(staged)], [true, "late", false]);
});

test("`replaceChunk()` waits for who holds the file, and not for ever", async () => {
  await using directory = await temporaryDirectory();
  const [path, staged] = [join(directory.path, "chunk"), join(directory.path, "staged")];
  for (const name of [path, staged]) writeFileSync(name, name);
  const holder = spawn("flock", ["--no-fork", path, "sh", "-c", "echo held; exec sleep 30"], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    const began = performance.now();
    assert.equal(
      replaceChunk(path, staged, () => false),
      true,
    );
    assert.ok(performance.now() - began >= 500);
    assert.equal(readFileSync(path, "utf8"), staged);
  } finally {
    holder.kill();
  }
});
