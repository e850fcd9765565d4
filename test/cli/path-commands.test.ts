/** Commands about paths inside an image: ls, stat, cat. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { startRealStore, type RealStore } from "./real-run.ts";

const BINARY = randomBytes(200_000);
const TERMINAL = { terminal: { columns: 80, rows: 24 } };

/** Has names with control characters, a backslash and wide characters. */
async function oddImage(): Promise<RealStore & { readonly reference: string }> {
  const store = await startRealStore();
  const { reference } = await store.harness.pushEntries(
    "odd/names",
    [
      { path: "etc/motd", content: "gone\n" },
      { path: "etc/os-release", content: "ID=odd\n", mode: 0o644, uid: 7, gid: 8, mtime: 1_700_000_000 },
      { path: "bin/tool", content: BINARY, mode: 0o4755 },
      { path: "odd/\u001b[2J\u202e", content: "x" },
      { path: "odd/na\\me", content: "y" },
      { path: "odd/名前", content: "z" },
      { path: "link", type: "symlink", target: "etc/os-release" },
      { path: "loop", type: "symlink", target: "loop" },
      { path: "empty", content: "" },
    ],
    [{ path: "etc/.wh.motd" }],
  );
  await store.harness.pull(reference, { materialize: "lazy" });
  return Object.assign(store, { reference });
}

test("`shale ls` lists the merged view without materializing it", async () => {
  await using store = await oddImage();
  assert.equal((await store.run(["ls", store.reference])).stdout, "bin\nempty\netc\nlink\nloop\nodd\n");
  assert.equal((await store.run(["ls", store.reference, "etc"])).stdout, "os-release\n");
  assert.equal((await store.run(["ls", store.reference, "/etc/os-release"])).stdout, "/etc/os-release\n");
  assert.equal((await store.run(["ls", "-d", store.reference, "/etc"])).stdout, "/etc\n");
  assert.deepEqual(readdirSync(store.harness.file("trees")), []);
});

test("`shale ls` writes unchanged names to a pipe, and escapes them on a terminal", async () => {
  await using store = await oddImage();
  const piped = await store.run(["ls", store.reference, "/odd"]);
  assert.deepEqual(Buffer.from(piped.stdout, "latin1"), Buffer.from("\u001b[2J\u202e\nna\\me\n名前\n"));
  const shown = await store.run(["ls", store.reference, "/odd"], TERMINAL);
  assert.equal(shown.stdout, "\\x1b[2J\\u{202e}\nna\\\\me\n名前\n");
  const nul = await store.run(["ls", "-0", store.reference, "/odd"], TERMINAL);
  assert.equal(nul.stdout, "\u001b[2J\u202e\0na\\me\0名前\0");
});

test("`shale cat --escaped` accepts a path with the escapes that a terminal shows", async () => {
  await using store = await oddImage();
  for (const [path, content] of [
    ["odd/\\x1b[2J\\u{202e}", "x"],
    ["odd/na\\\\me", "y"],
    ["odd/\\xe5\\x90\\x8d前", "z"],
  ] as const) {
    assert.equal((await store.run(["cat", "-e", store.reference, path])).stdout, content);
  }
  assert.deepEqual(await store.failure("cat", "-e", store.reference, "odd/\\q"), ["USAGE", 2]);
  assert.deepEqual(await store.failure("cat", "-e", store.reference, "odd/\\u{110000}"), ["USAGE", 2]);
});

test("`shale ls -l` shows mode, owner, size, time and target, and -R full paths", async () => {
  await using store = await oddImage();
  const { stdout } = await store.run(["ls", "-lR", "--bytes", store.reference]);
  assert.match(stdout, /^-rwsr-xr-x +0:0 +200000 .* \/bin\/tool$/m);
  assert.match(stdout, /^-rw-r--r-- +7:8 +7 2023-11-14 22:13:20 \/etc\/os-release$/m);
  assert.match(stdout, /^lrwxrwxrwx .* \/link -> etc\/os-release$/m);
});

test("`shale ls --json` prints one document, and `shale stat` accepts each of its paths", async () => {
  await using store = await oddImage();
  interface Entries {
    readonly entries: readonly { readonly path: string; readonly kind: string; readonly size: number; readonly target?: string }[];
  }
  const { entries } = await store.json<Entries>("ls", "--recursive", store.reference);
  assert.equal(entries.length, 11);
  for (const { path, kind, target } of entries) {
    const stat = await store.json<{ kind: string; target?: string }>("stat", store.reference, path);
    assert.deepEqual([stat.kind, stat.target], [kind, target]);
  }
});

test("`shale stat` shows a symlink, and with --follow its target", async () => {
  await using store = await oddImage();
  const own = await store.json<Record<string, unknown>>("stat", store.reference, "link");
  assert.deepEqual([own["kind"], own["target"], own["realpath"]], ["symlink", "etc/os-release", undefined]);
  const followed = await store.json<Record<string, unknown>>("stat", "-L", store.reference, "link");
  assert.deepEqual(
    ["kind", "realpath", "uid", "gid", "size", "mtime"].map((key) => followed[key]),
    ["file", "/etc/os-release", 7, 8, 7, 1_700_000_000],
  );
  const { stdout } = await store.run(["stat", store.reference, "odd/\u001b[2J\u202e"]);
  assert.match(stdout, /^[\x20-\x7e\n]+$/);
});

test("`shale cat` writes unchanged bytes, of a whole file or a range", async () => {
  await using store = await oddImage();
  const whole = await store.run(["cat", store.reference, "bin/tool", "empty", "link"]);
  assert.deepEqual(Buffer.from(whole.stdout, "latin1"), Buffer.concat([BINARY, Buffer.from("ID=odd\n")]));
  const part = await store.run(["cat", "--offset", "100kB", "--length", "5", store.reference, "bin/tool"]);
  assert.deepEqual(Buffer.from(part.stdout, "latin1"), BINARY.subarray(100_000, 100_005));
  assert.equal((await store.run(["cat", "--length", "0", store.reference, "bin/tool"])).stdout, "");
  const { files } = await store.json<{ files: { path: string; content: string }[] }>("cat", store.reference, "bin/tool");
  assert.deepEqual(Buffer.from(files[0]?.content ?? "", "base64"), BINARY);
});

test("`shale ls`, `stat` and `cat` exit with 3 if the path is missing or of the wrong kind", async () => {
  await using store = await oddImage();
  for (const argv of [
    ["ls", store.reference, "nope"],
    ["ls", store.reference, "etc/motd"],
    ["stat", store.reference, "etc/nope"],
    ["cat", store.reference, "etc"],
    ["cat", store.reference, "loop"],
    ["cat", "--length", "0", store.reference, "nope"],
  ]) {
    const [code, exitCode] = await store.failure(...argv);
    assert.match(code, /^PATH_/, argv.join(" "));
    assert.equal(exitCode, 3);
    assert.equal((await store.run(argv)).stdout, "");
  }
});
