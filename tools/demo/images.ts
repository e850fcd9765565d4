/** Two images that a container could run, made of the Node that runs here: the same files but one, cut into layers differently. */
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { buildImage, buildLayer, type TestEntry, type TestImage } from "../../src/testing/index.ts";
import { directoryEntries, distinct, entriesOnTheWay, fileEntry, runningLibraries } from "./host-files.ts";

const NODE = "/usr/bin/node";
const PROGRAM = "/app/main.cjs";

export interface DemoImages {
  readonly first: TestImage;
  readonly second: TestImage;
}

/** The first is packed by gzip, as most images are, the second by zstd. */
export async function buildImages(): Promise<DemoImages> {
  const libraries = runningLibraries();
  const config = {
    Entrypoint: [NODE],
    Cmd: [PROGRAM],
    Env: ["PATH=/usr/bin:/bin", `LD_LIBRARY_PATH=${[...new Set(libraries.map((path) => dirname(path)))].join(":")}`],
  };
  const base = distinct([...skeleton(), ...libraries.flatMap((path) => entriesOnTheWay(path))]);
  const node = fileEntry(realpathSync(process.execPath), NODE);
  const packages = directoryEntries(dirname(createRequire(import.meta.url).resolve("undici")), "/app/node_modules/undici");
  const first = [
    [...base, node],
    [...packages, program(1)],
  ];
  const second = [base, [node, ...packages], [program(2)]];
  return {
    first: buildImage({ layers: await Promise.all(first.map((entries) => buildLayer(entries))), config }),
    second: buildImage({ layers: await Promise.all(second.map((entries) => buildLayer(entries, { compression: "zstd" }))), config }),
  };
}

function skeleton(): TestEntry[] {
  return [
    { path: "dev", type: "directory" },
    { path: "etc", type: "directory" },
    { path: "etc/passwd", content: "root:x:0:0:root:/:/usr/bin/node\n" },
    { path: "proc", type: "directory" },
    { path: "tmp", type: "directory", mode: 0o1777 },
  ];
}

/** What runs inside. Its first line is what tells the versions apart. */
function program(version: number): TestEntry {
  const content = `
const { readdirSync } = require("node:fs");
const { version } = require("undici/package.json");
console.log("Hello from version ${version} of a program inside an image.");
console.log("Node " + process.version + " runs me, from " + process.execPath + "; undici " + version + " is installed beside me.");
console.log("The whole file system that I see: /" + readdirSync("/").join(" /"));
`;
  return { path: PROGRAM.slice(1), content: content.trimStart() };
}
