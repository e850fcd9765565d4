/** The demo as a user starts it, in a process of its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { PROJECT } from "../../tools/project.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const DEMO = "dist/tools/demo.js";
const NOBODY = "65534";

async function checkDemo(command: readonly string[], temporary: string): Promise<void> {
  const [program = "", ...args] = command;
  const ended = spawnSync(program, args, {
    env: { ...process.env, TMPDIR: temporary, HOME: temporary },
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(ended.status, 0, ended.stderr);
  assert.deepEqual(
    [...ended.stdout.matchAll(/\| Hello from version (\d) of a program inside an image\./g)].map(([, version]) => version),
    ["1", "2"],
  );
  assert.match(ended.stdout, /cached: true/);
  const store = /The store is (\S+)/.exec(ended.stdout)?.[1] ?? "";
  assert.ok((await stat(join(store, "store.json"))).isFile());
  assert.deepEqual(
    (await readdir(temporary)).map((name) => join(temporary, name)),
    [store],
  );
  assert.ok(!(await readFile("/proc/self/mountinfo", "utf8")).includes("shale-demo"));
}

test("demo runs programs inside both images and leaves its store and no mount", async () => {
  await using temporary = await temporaryDirectory();
  await checkDemo([process.execPath, join(PROJECT, DEMO)], temporary.path);
});

if (process.geteuid?.() === 0) {
  test("demo does the same for an ordinary user", async () => {
    await using temporary = await temporaryDirectory();
    const [writable, project, node] = ["writable", "project", "node"].map((name) => join(temporary.path, name)) as [string, string, string];
    await chmod(temporary.path, 0o755);
    await mkdir(project);
    await writeFile(node, "");
    await mkdir(writable);
    await chmod(writable, 0o777);
    // the checkout and Node may lie where nobody else can enter: bind mounts, in a namespace of the child's, can be entered
    const mount = 'mount -o bind "$1" "$2" && mount -o bind "$3" "$4" && cd / && shift 4 && exec "$@"';
    const inNamespace = ["unshare", "-m", "sh", "-c", mount, "sh", PROJECT, project, process.execPath, node];
    const asNobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set=-all", "--no-new-privs"];
    await checkDemo([...inNamespace, ...asNobody, node, join(project, DEMO)], writable);
  });
}
