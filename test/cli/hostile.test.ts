/** Control characters in names never reach a terminal. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { buildImage, buildLayer, writeLayout } from "../../src/testing/index.ts";
import { startRealStore } from "./real-run.ts";

/** Clears the screen, sets the title, reverses the text direction, ends the line, rings the bell. */
const STEERING = "\x1b[2J\x1b]0;owned\x07\u202egnp\u2028\u009b1m\r\nx";
const HARMFUL: RegExp = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/u;

test("every command escapes names of directories, leases, files, targets, labels and references, on a terminal and as JSON", async () => {
  await using store = await startRealStore();
  const { harness } = store;
  const layer = await buildLayer([
    { path: `d/${STEERING}`, content: "x", xattrs: { "user.note": STEERING } },
    { path: "link", type: "symlink", target: STEERING },
  ]);
  const config = { Labels: { [STEERING]: STEERING }, Env: [`A=${STEERING}`], Cmd: [STEERING], User: STEERING };
  const directory = join(harness.path, "..", `layout ${STEERING.replaceAll("/", "")}`);
  await writeLayout(directory, { latest: buildImage({ layers: [layer], config }) });
  const reference = `oci:${directory}:latest`;
  await harness.pull(reference);
  const lines: readonly (readonly string[])[] = [
    ["lease", "add", STEERING, reference],
    ["pin", reference],
    ["images"],
    ["images", "--quiet"],
    ["inspect", reference],
    ["inspect", "--config", reference],
    ["inspect", "--raw", reference],
    ["inspect", "--raw", "--config", reference],
    ["ls", "-lR", reference],
    ["ls", reference, STEERING],
    ["stat", reference, `d/${STEERING}`],
    ["stat", reference, "link"],
    ["cat", reference, STEERING],
    ["materialize", reference],
    ["mount", reference, STEERING],
    ["umount", STEERING],
    ["rootfs", reference, join(harness.path, STEERING)],
    ["lease", "ls"],
    ["lease", "rm", "--", `-${STEERING}`],
    ["pin"],
    ["du", "--layers"],
    ["why", reference],
    ["why", STEERING],
    ["gc", "--dry-run", "--keep-younger", "0", "--keep-bytes", "1"],
    ["dump-index", "--store", harness.path, reference],
    ["dump-index", "--store", harness.path, STEERING],
    ["fsck"],
    ["prefetch", "--policy", "always", reference, `oci:${STEERING}`],
    ["pull", reference],
    ["pull", STEERING],
    ["rm", STEERING],
    ["unpin", reference],
    ["rm", reference],
    [STEERING],
    ["lease", STEERING],
    ["pull", `--${STEERING}`],
    ["gc", "--keep-bytes", STEERING],
    ["pull", "--ca", STEERING, "x"],
    ["pull", "--hosts-dir", STEERING, "x"],
    ["pull", "--limit", `${STEERING}=1`, "x"],
    ["pull", "--workers", STEERING, "x"],
  ];
  for (const argv of lines) {
    for (const flags of [[], ["--json"]]) {
      const at = argv.indexOf("--");
      const whole = at === -1 ? [...argv, ...flags] : [...argv.slice(0, at), ...flags, ...argv.slice(at)];
      const { stdout, stderr } = await store.run(whole, { terminal: { columns: 100, rows: 30 }, env: { NO_COLOR: "1" } });
      const text = `${stdout}${stderr}`;
      assert.notEqual(text, "", JSON.stringify(whole));
      assert.equal(HARMFUL.exec(text), null, `${JSON.stringify(whole)}: ${JSON.stringify(text.slice(0, 500))}`);
    }
  }
});

test("`shale inspect --raw` shows on a terminal the same JSON as for a program, without control characters", async () => {
  await using store = await startRealStore();
  const layer = await buildLayer([{ path: "a", content: "a" }]);
  const directory = join(store.harness.path, "..", "loud");
  await writeLayout(directory, { latest: buildImage({ layers: [layer], config: { Labels: { note: STEERING } } }) });
  const argv = ["inspect", "--raw", "--config", `oci:${directory}:latest`];
  await store.harness.pull(`oci:${directory}:latest`);
  const given = Buffer.from((await store.run(argv)).stdout, "latin1").toString("utf8");
  const { stdout } = await store.run(argv, { terminal: { columns: 80, rows: 24 } });
  assert.ok(HARMFUL.test(given) && !HARMFUL.test(stdout));
  assert.deepEqual(JSON.parse(stdout), JSON.parse(given));
});
