/** The program as a process: signals, pipes, exit codes, loaded modules. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readProjectFile } from "../../tools/project.ts";
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

test("shale pulls, and reports the second pull as cached", async () => {
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
  test(`shale exits with 130 on ${signal}, leaves nothing incomplete, and continues the next time`, async () => {
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

test("shale exits with 0 if the reader of its output exits", async () => {
  const child = start(["--help"]);
  child.stdout.destroy();
  const [[code, signal], stderr] = await Promise.all([once(child, "close") as Promise<[number | null, string | null]>, text(child.stderr)]);
  assert.equal(signal, null);
  assert.ok(code === 0 || code === 1);
  assert.equal(stderr, "");
});

test("shale ls exits silently if the reader of its output exits", async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const entries = Array.from({ length: 20_000 }, (_, at) => ({ path: `d/${String(at).padStart(100, "0")}`, content: "" }));
  const reference = registry.push("app", "v1", buildImage({ layers: [await buildLayer(entries)] }));
  const store = ["--store", join(directory.path, "store")];
  assert.equal((await end(start(["pull", "--plain-http", "--materialize", "lazy", ...store, reference]))).code, 0);
  const child = start(["ls", "-R", ...store, reference]);
  child.stdout.once("data", () => child.stdout.destroy());
  const [[code, signal], stderr] = await Promise.all([once(child, "close") as Promise<[number | null, string | null]>, text(child.stderr)]);
  assert.deepEqual([code, signal, stderr], [0, null, ""]);
});

test("shale reports an unwritable standard output, and exits with 1", async () => {
  const full = await open("/dev/full", "w");
  const child = spawn(process.execPath, [MAIN, "--help"], { stdio: ["ignore", full.fd, "pipe"] });
  const [[code], stderr] = await Promise.all([once(child, "close") as Promise<[number | null]>, text(child.stderr!)]);
  await full.close();
  assert.equal(code, 1);
  assert.match(stderr, /^shale: INTERNAL: [^\n]+\n$/);
});

test("shale exits at once on a second signal", async () => {
  const image = await anImage();
  const isLayer = ({ path }: RecordedRequest): boolean => path.endsWith(image.layers[0]?.digest ?? "?");
  await using registry = await startRegistry({ faults: [{ match: isLayer, times: 100, action: { kind: "stall", after: 100 } }] });
  await using directory = await temporaryDirectory();
  const child = start(["pull", "--plain-http", "--store", join(directory.path, "store"), registry.push("app", "v1", image)]);
  const closed = once(child, "close") as Promise<[number | null, string | null]>;
  while (!registry.requests.some(isLayer)) await delay(10);
  // the process is stopped between the two signals, so that it cannot exit in between
  child.kill("SIGSTOP");
  child.kill("SIGINT");
  child.kill("SIGTERM");
  child.kill("SIGCONT");
  const [code, signal] = await closed;
  assert.ok(code === 130 || signal !== null);
});

test("a cached shale pull loads no client, database, archive or drawing library, and no other command", async () => {
  await using registry = await startRegistry();
  await using directory = await temporaryDirectory();
  const reference = registry.push("app", "v1", await anImage());
  const args = ["pull", "--plain-http", "--store", join(directory.path, "store"), reference];
  assert.equal((await end(start(args))).code, 0);
  const hook = `data:text/javascript,${encodeURIComponent(LOADED)}`;
  const { code, stderr } = await end(spawn(process.execPath, ["--import", hook, MAIN, ...args]));
  assert.equal(code, 0);
  const loaded = stderr.trim().split("\n");
  assert.ok(loaded.some((url) => url.endsWith("/cli/commands/pull.js")));
  const packages = new Set(loaded.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []));
  assert.deepEqual(
    [...packages].filter((name) => !name.includes("koffi")),
    [],
  );
  const needless = loaded.filter((url) =>
    /\/format\/(?!entry)|\/src\/(?:index|fsck|gc|dump|export|ingest|tree|view|bundle|tar|source\/|testing|cli\/(?:commands\/(?!pull)|help|suggest|progress\/(?!deferred)|completion|table))/.test(
      url,
    ),
  );
  assert.deepEqual(needless, []);
  // an import of node:fs would load them
  assert.ok(!loaded.includes("NativeModule internal/fs/streams"));
  assert.ok(!loaded.includes("NativeModule crypto"));
  const own = loaded.filter((url) => /\/dist\/(?:src|format)\//.test(url));
  assert.ok(own.length <= 62, `${own.length} files of its own were loaded`);
});

/** At exit, writes all loaded modules, Node's own included, to standard error. */
const LOADED = `
import { registerHooks } from "node:module";
const urls = [];
registerHooks({ load(url, context, next) { urls.push(url); return next(url, context); } });
process.on("exit", () => process.stderr.write([...urls, ...process.moduleLoadList].join("\\n") + "\\n"));
`;

test("shale keeps compiled code only where no other user can write, and works without", async () => {
  await using directory = await temporaryDirectory();
  const ran = async (name: string, mode: number): Promise<boolean> => {
    const cache = join(directory.path, name);
    await mkdir(cache);
    await chmod(cache, mode);
    const env = { ...process.env, XDG_CACHE_HOME: cache, NODE_COMPILE_CACHE: undefined };
    const { code, stderr } = await end(spawn(process.execPath, [MAIN, "--version"], { env }));
    assert.deepEqual([code, stderr], [0, ""]);
    const kept = await stat(join(cache, "shale-code")).catch(() => undefined);
    assert.ok(kept === undefined || (kept.mode & 0o777) === 0o700);
    return kept !== undefined;
  };
  assert.equal(await ran("own", 0o700), true);
  assert.equal(await ran("shared", 0o770), false);
  assert.equal(await ran("anybody's", 0o1777), false);
});

test("shale --version prints the version of the package", async () => {
  const { version } = JSON.parse(await readFile(new URL("../../../package.json", import.meta.url), "utf8")) as { version: string };
  assert.deepEqual(await end(start(["--version"])), { code: 0, stdout: `${version}\n`, stderr: "" });
});

test("shale rejects a Node.js older than in package.json, and runs with the oldest allowed", async () => {
  const { engines } = JSON.parse(await readProjectFile("package.json")) as { engines: { node: string } };
  const oldest = engines.node.replace(/^>=/, "");
  const runAs = (version: string): Promise<Ended> => {
    const code = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } })`;
    return end(spawn(process.execPath, ["--import", `data:text/javascript,${encodeURIComponent(code)}`, MAIN, "--version"]));
  };
  for (const version of [`${oldest}.0`, "23.0.0"]) assert.equal((await runAs(version)).code, 0, version);
  for (const version of ["20.20.2", "22.18.9"]) {
    const { code, stdout, stderr } = await runAs(version);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.equal(stderr, `shale: requires Node.js ${oldest} or later, but this is ${version}; put a later Node.js first in PATH\n`);
  }
});
