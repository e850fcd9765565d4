/** Untrusted text in the output of the commands: no byte of it may control the terminal or reverse a line. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { buildLayer, layerFromTar, type Fault } from "../../src/testing/index.ts";
import { startStore } from "../support/store-harness.ts";
import { archive, file } from "./case.ts";

/** Clears the screen, sets the title, reverses the line, ends it, and rings the bell. */
const STEERING = "\x1b[2J\x1b]0;owned\x07\u202egnp\u2028\x9b1m\r\nx";
const HARMFUL: RegExp = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/u;

/** Returns standard output and error of a command of `dist/`, whatever its exit status. */
function output(program: string, ...args: readonly string[]): Promise<string> {
  const path = new URL(`../../${program}`, import.meta.url).pathname;
  return new Promise((resolve) => {
    execFile(process.execPath, [path, ...args], { encoding: "utf8" }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

function assertHarmless(text: string): void {
  assert.notEqual(text, "");
  const found = HARMFUL.exec(text);
  assert.equal(found, null, JSON.stringify(text.slice(Math.max(0, (found?.index ?? 0) - 40), (found?.index ?? 0) + 20)));
}

test("`shale pull`, `dump-index` and `fsck` escape names, labels, targets and attributes of an image", async () => {
  await using harness = await startStore();
  const name = STEERING.replace("/", "");
  const layer = await buildLayer([
    { path: `d/${name}`, content: "x", xattrs: { "user.note": STEERING } },
    { path: `l${name}`, type: "symlink", target: STEERING },
  ]);
  const config = { Labels: { [STEERING]: STEERING }, Env: [`A=${STEERING}`], Cmd: [STEERING], User: STEERING };
  const { reference } = harness.push("odd/names", [layer], { config });
  const store = ["--store", harness.path];
  for (const flags of [[], ["--json"], ["--quiet"]])
    assertHarmless(await output("src/cli/main.js", "pull", "--plain-http", ...store, ...flags, reference));
  assertHarmless(await output("tools/dump-index.js", ...store, reference));
  const image = await harness.pull(reference);
  appendFileSync(join(image.layers[0]!, "d", name), "changed");
  for (const flags of [[], ["--json"]]) assertHarmless(await output("tools/fsck.js", ...flags, "--full", harness.path));
});

const ANSWERS: readonly { name: string; fault: Partial<Extract<Fault["action"], { kind: "respond" }>> & { status: number } }[] = [
  {
    name: "an error body of the registry API",
    fault: { status: 403, body: JSON.stringify({ errors: [{ code: STEERING, message: STEERING, detail: STEERING }] }) },
  },
  { name: "an error page", fault: { status: 404, body: `<html>${STEERING}`.repeat(10_000) } },
  { name: "a server error", fault: { status: 418, body: STEERING } },
  {
    name: "a manifest of an unknown type",
    fault: {
      status: 200,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ schemaVersion: 2, mediaType: STEERING }),
    },
  },
  {
    name: "a manifest with unknown fields",
    fault: { status: 200, body: JSON.stringify({ schemaVersion: 2, config: { mediaType: STEERING, digest: STEERING, size: STEERING } }) },
  },
];

for (const { name, fault } of ANSWERS) {
  test(`\`shale pull\` escapes and bounds ${name}`, async () => {
    await using harness = await startStore();
    harness.registry.misbehave({ match: /manifests/, times: 99, action: { kind: "respond", ...fault } });
    for (const flags of [[], ["--json"]]) {
      const text = await output(
        "src/cli/main.js",
        "pull",
        "--plain-http",
        "--store",
        harness.path,
        ...flags,
        `${harness.registry.host}/a/b:1`,
      );
      assertHarmless(text);
      assert.ok(text.length < 5000, `${text.length} characters`);
    }
  });
}

test("`shale pull` escapes the names of refused entries and references", async () => {
  await using harness = await startStore();
  const { reference } = harness.push("a/b", [layerFromTar(archive(file(`../${STEERING.slice(0, 9)}`)))]);
  for (const text of [reference, `a/${STEERING}`]) {
    assertHarmless(await output("src/cli/main.js", "pull", "--plain-http", "--store", harness.path, text));
  }
});
