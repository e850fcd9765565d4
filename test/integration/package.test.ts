/** The package as its users get it: packed, installed in an empty project, compiled against, and run on the Node versions that are supported. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { run } from "../support/run.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";

const PROJECT: string = new URL("../../..", import.meta.url).pathname;

/** What a program does that pulls an image: typed, and then run as it is. */
const PROGRAM = `
import { lstatSync } from "node:fs";
import { openStore, Registry, ShaleError, type Image } from "shale";
import { Sidecar } from "shale/format";
import { buildImage, buildLayer, startRegistry } from "shale/testing";

await using registry = await startRegistry();
const layer = await buildLayer([{ path: "etc/hello", content: "hello from a layer" }]);
const reference: string = registry.push("demo/app", "1", buildImage({ layers: [layer] }));
await using store = await openStore(process.argv[2]!);
await using client = new Registry({ store, plainHttp: true, credentials: "anonymous" });
await using image: Image = await client.pull(reference);
const text: Buffer = await image.readFile("/etc/hello");
console.log(process.version, text.toString(), lstatSync(\`\${image.layers[0]}/etc/hello\`).size, typeof Sidecar);
await client.pull("demo/none:1", { pullPolicy: "never" }).catch((error: unknown) => {
  if (!ShaleError.is(error, "NOT_CACHED")) throw error;
});
`;

let directory: TemporaryDirectory;
let tarball = "";
let packed: { readonly size: number; readonly unpackedSize: number; readonly files: readonly { readonly path: string }[] };

/** Of a command in the consumer's project. */
async function consume(command: string, ...args: readonly string[]): Promise<string> {
  return (await run(command, args, { cwd: join(directory.path, "consumer") })).toString();
}

before(async () => {
  directory = await temporaryDirectory();
  const output = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", directory.path], { cwd: PROJECT });
  const [first] = JSON.parse(output.toString()) as [typeof packed & { filename: string }];
  packed = first;
  tarball = join(directory.path, first.filename);
  const consumer = join(directory.path, "consumer");
  await mkdir(consumer);
  await writeFile(join(consumer, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  await consume("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", tarball);
  const options = {
    module: "nodenext",
    target: "es2023",
    // TypeScript 5.6 has no es2024
    lib: ["es2023", "esnext.disposable"],
    strict: true,
    skipLibCheck: false,
    types: ["node"],
    noEmit: false,
  };
  await writeFile(join(consumer, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["program.ts"] }));
  await writeFile(join(consumer, "program.ts"), PROGRAM);
});

after(() => directory[Symbol.asyncDispose]());

test("The package contains only what users need, and runs nothing when it is installed", async (t) => {
  const paths = packed.files.map(({ path }) => path);
  const documents = ["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "package.json"];
  const specification = paths.filter((path) => /^format\/\w+\.md$/.test(path));
  const examples = paths.filter((path) => /^examples\/[\w-]+\.mjs$/.test(path));
  const programs = ["dist/tools/dump-index.js", "dist/tools/fsck.js"];
  const compiled = paths.filter((path) => /^dist\/(?:src|format)\/.*\.(?:js|d\.ts)$/.test(path));
  for (const list of [specification, examples]) assert.ok(list.length > 0);
  for (const needed of ["dist/src/index.js", "dist/src/index.d.ts", "dist/format/index.js"]) assert.ok(compiled.includes(needed), needed);
  assert.deepEqual(paths.toSorted(), [...documents, ...specification, ...examples, ...programs, ...compiled].sort());
  const { scripts = {} } = JSON.parse(await readFile(join(PROJECT, "package.json"), "utf8")) as { scripts?: Record<string, string> };
  for (const hook of ["preinstall", "install", "postinstall", "prepare"]) assert.equal(scripts[hook], undefined, hook);
  assert.ok(packed.unpackedSize < 2_000_000, `${packed.unpackedSize} bytes`);
  t.diagnostic(`${packed.files.length} files, ${packed.size} bytes packed, ${packed.unpackedSize} unpacked`);
});

test("The package's commands run from node_modules/.bin", async () => {
  assert.match(await consume("node_modules/.bin/shale", "--help"), /shale pull/);
  assert.match(await consume("node_modules/.bin/shale-fsck", "--help"), /^Usage: shale fsck /);
  assert.match(await consume("node_modules/.bin/shale-dump-index", "--help"), /^Usage: shale dump-index /);
});

test("A strict program compiles against the package, whose declarations are checked too, with TypeScript 5.6 and with this project's", async () => {
  await consume("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "@types/node@22");
  await consume("npm", "exec", "--yes", "--loglevel=error", "--package=typescript@5.6", "--", "tsc", "-p", ".", "--noEmit");
  await consume(join(PROJECT, "node_modules/.bin/tsc"), "-p", ".");
});

/** The one that runs the tests, and the oldest that is supported. */
const NODES: readonly (readonly string[])[] = [
  [process.execPath],
  ["npm", "exec", "--yes", "--loglevel=error", `--package=node-linux-${process.arch}@22`, "--", "node"],
];

for (const [index, [program = "", ...args]] of NODES.entries()) {
  test(`The package pulls an image on ${index === 0 ? "this Node" : "Node 22"}, as a library and as a command`, async () => {
    const said = await consume(program, ...args, "program.js", join(directory.path, `store-${index}`));
    assert.match(said, /^v\d+\.\d+\.\d+ hello from a layer 18 function\n$/);
    assert.equal(said.startsWith("v22."), index === 1);
    assert.match(await consume(program, ...args, "node_modules/shale/dist/src/cli/main.js", "--help"), /shale pull/);
  });
}

test("publint and are-the-types-wrong find no fault in the package", async () => {
  const tool = ["exec", "--yes", "--loglevel=error"];
  await consume("npm", ...tool, "--package=publint@0.3.25", "--", "publint", "run", tarball, "--strict");
  await consume("npm", ...tool, "--package=@arethetypeswrong/cli@0.18.5", "--", "attw", tarball, "--profile", "esm-only");
});

test("The API reference is made from the sources, everything that it names included", async () => {
  const tool = ["exec", "--yes", "--loglevel=error", "--package=typedoc@0.28.20", "--package=typescript@6.0"];
  await run("npm", [...tool, "--", "typedoc", "--out", join(directory.path, "api")], { cwd: PROJECT });
  assert.match(await readFile(join(directory.path, "api/index.html"), "utf8"), /shale/);
});
