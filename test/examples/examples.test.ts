/** The programs in examples/, run as a user would run them, against a registry in this process. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildImage, buildLayer, startRegistry, type TestRegistry, type TestEntry } from "../../src/testing/index.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const EXAMPLES = fileURLToPath(new URL("../../../examples", import.meta.url));
const execute = promisify(execFile);

interface Place {
  readonly registry: TestRegistry;
  readonly directory: string;
  /** Runs an example with these arguments, in `directory`. */
  readonly example: (name: string, ...args: readonly string[]) => Promise<{ readonly stdout: string; readonly stderr: string }>;
  readonly push: (name: string, entries: readonly TestEntry[], config?: Readonly<Record<string, unknown>>) => Promise<string>;
}

async function inPlace(work: (place: Place) => Promise<void>): Promise<void> {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const { path } = directory;
  await work({
    registry,
    directory: path,
    example: (name, ...args) =>
      execute(process.execPath, [join(EXAMPLES, name), "--plain-http", ...args], {
        cwd: path,
        env: { PATH: process.env["PATH"], HOME: path },
      }),
    push: async (name, entries, config = {}) => registry.push(name, "1", buildImage({ layers: [await buildLayer(entries)], config })),
  });
}

test("examples/ compiles, and has no program without a test", async () => {
  await run(process.execPath, [join(EXAMPLES, "../node_modules/typescript/bin/tsc"), "-p", EXAMPLES]);
  const source = readFileSync(join(EXAMPLES, "../test/examples/examples.test.ts"), "utf8");
  for (const name of readdirSync(EXAMPLES).filter((file) => file.endsWith(".mjs"))) assert.ok(source.includes(`example("${name}"`), name);
});

test("examples/pull-with-progress.mjs prints the layer directories, and ends its progress at 100 %", async () => {
  await inPlace(async ({ example, push, directory }) => {
    const reference = await push("team/app", [{ path: "a", content: "a" }]);
    const { stdout, stderr } = await example("pull-with-progress.mjs", reference);
    const [layer = "", ...rest] = stdout.trimEnd().split("\n");
    assert.deepEqual(rest, []);
    assert.ok(layer.startsWith(join(directory, "store/trees/")), layer);
    assert.equal(readFileSync(join(layer, "a"), "utf8"), "a");
    assert.match(stderr, /\[={20}\] 100 % complete\n$/);
  });
});

test("examples/prefetch.mjs pulls images without directories, continues after a failure, and keeps its budget", async () => {
  await inPlace(async ({ example, push, directory }) => {
    const [old, recent] = [
      await push("team/old", [{ path: "a", content: "a".repeat(5000) }]),
      await push("team/new", [{ path: "b", content: "b".repeat(5000) }]),
    ];
    assert.deepEqual((await example("prefetch.mjs", old)).stdout, `pulled ${old}\n`);
    assert.deepEqual(readdirSync(join(directory, "store/trees")), []);
    const hourAgo = Date.now() / 1000 - 3600;
    for (const name of readdirSync(join(directory, "store/locks")).filter((file) => file.startsWith("lease-")))
      utimesSync(join(directory, "store/locks", name), hourAgo, hourAgo);
    const missing = recent.replace("team/new", "team/missing");
    const failure = await example("prefetch.mjs", "--max-bytes", "8000", recent, missing).catch((error: unknown) => error);
    const { code, stdout, stderr } = failure as { readonly code: number; readonly stdout: string; readonly stderr: string };
    assert.equal(code, 1);
    assert.deepEqual(stdout.trimEnd().split("\n"), [`pulled ${recent}`, `removed ${old}`]);
    assert.ok(stderr.startsWith(`failed ${missing}: IMAGE_NOT_FOUND: `), stderr);
  });
});

test("examples/read-file.mjs writes a file of an image, and creates no directory", async () => {
  await inPlace(async ({ example, push, directory }) => {
    const reference = await push("team/app", [{ path: "etc/motd", content: "hello\n" }]);
    assert.equal((await example("read-file.mjs", reference, "/etc/motd")).stdout, "hello\n");
    assert.deepEqual(readdirSync(join(directory, "store/trees")), []);
    await assert.rejects(example("read-file.mjs", reference, "/etc/missing"), { code: 1, stderr: /^PATH_NOT_FOUND: / });
  });
});

test("examples/boot-bubblewrap.mjs runs the program of an image, or a command, on a read-only root", async () => {
  await inPlace(async ({ example, push, directory }) => {
    const config = {
      Entrypoint: ["/bin/sh", "-c"],
      Cmd: ['echo "$GREETING"; cat /etc/motd'],
      Env: ["GREETING=hello there"],
      WorkingDir: "/etc",
    };
    const reference = await push("team/app", [...(await shellEntries()), { path: "etc/motd", content: "welcome\n" }], config);
    assert.equal((await example("boot-bubblewrap.mjs", reference)).stdout, "hello there\nwelcome\n");
    const written = example("boot-bubblewrap.mjs", reference, "--", "/bin/sh", "-c", "echo changed > /etc/motd || exit 7");
    await assert.rejects(written, { code: 7 });
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.startsWith("sandbox-")),
      [],
    );
  });
});

/** The shell of this machine, and the libraries that it loads. */
async function shellEntries(): Promise<TestEntry[]> {
  const linked = (await run("ldd", ["/bin/sh"])).toString().match(/\/\S+/g) ?? [];
  const cat = (await run("ldd", ["/bin/cat"])).toString().match(/\/\S+/g) ?? [];
  const files = new Set(["/bin/sh", "/bin/cat", ...linked, ...cat].filter((path) => existsSync(path)));
  const mounted = ["proc", "dev", "tmp"].map((path) => ({ path, type: "directory" }) as const);
  return [...mounted, ...[...files].map((path) => ({ path: path.slice(1), mode: 0o755, content: readFileSync(path) }))];
}
