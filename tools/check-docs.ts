/**
 * The pages' code, run: every `ts` block of README.md and docs/*.md is compiled and executed against registries in this
 * process, in the order of its page, with one new store a page. Of `sh` blocks every line is a command of `shale`, which is
 * run likewise, or an `npm run` of a script that exists. docs/README.md tells the readers.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import PQueue from "p-queue";
import { buildImage, buildLayer, startRegistry, type TestRegistry } from "../src/testing/index.ts";
import { adaptBlock, extractBlocks, shellCommands, type Block, type Surroundings } from "./docs-blocks.ts";
import { PROJECT, readProjectFile, report } from "./project.ts";

const CLI: string = join(PROJECT, "dist/src/cli/main.js");
const TIMEOUT_MS = 60_000;
const execute = promisify(execFile);

/** Where blocks are compiled: in the project, so that "shale" names it. */
interface Workplace {
  readonly compiled: string;
  /** Where the blocks' processes run. */
  readonly directory: string;
}

interface Page {
  /** Relative to the project. */
  readonly path: string;
  readonly blocks: readonly Block[];
  readonly surroundings: Surroundings;
}

/** Findings, as `path:line: what failed`. */
export async function checkPages(pages: ReadonlyMap<string, string>): Promise<string[]> {
  const compiled = await mkdtemp(join(PROJECT, "dist/check-docs-"));
  const directory = await mkdtemp(join(tmpdir(), "shale-docs-"));
  await using registry = await startRegistry();
  await using privateRegistry = await startRegistry({ auth: { kind: "basic", username: "geologist", password: "layers" } });
  await pushImages(registry, privateRegistry);
  const list = [...pages].map(([path, text], index) => {
    const store = join(directory, `store-${index}`);
    return { path, blocks: extractBlocks(text), surroundings: { store, registry: registry.host, privateRegistry: privateRegistry.host } };
  });
  try {
    const rejected = await compile(list, compiled);
    if (rejected.length > 0) return rejected;
    const queue = new PQueue({ concurrency: availableParallelism() });
    return (await Promise.all(list.map((page) => queue.add(() => runPage(page, { compiled, directory }))))).flat();
  } finally {
    await Promise.all([directory, compiled].map((path) => rm(path, { recursive: true, force: true })));
  }
}

/** An image of two layers with something of each kind, under the names that the pages use. */
async function pushImages(registry: TestRegistry, privateRegistry: TestRegistry): Promise<void> {
  const base = await buildLayer([
    { path: "etc", type: "directory" },
    { path: "etc/os-release", content: "ID=demo\n" },
    { path: "etc/motd", content: "welcome\n" },
    { path: "bin/sh", mode: 0o755, content: "#!\n" },
    { path: "usr/bin", type: "symlink", target: "../bin" },
  ]);
  const upper = await buildLayer([{ path: "etc/.wh.motd" }, { path: "app/main", mode: 0o755, content: "#!/bin/sh\n" }]);
  const image = buildImage({ layers: [base, upper], config: { Entrypoint: ["/app/main"], Env: ["PATH=/bin"], User: "1000" } });
  const arm = buildImage({ layers: [base], platform: { os: "linux", architecture: "arm64", variant: "v8" } });
  registry.push("library/alpine", "3.20", image);
  registry.push("demo/app", "1", image);
  registry.push("demo/app", "arm64", arm);
  privateRegistry.push("team/app", "1", image);
}

async function compile(pages: readonly Page[], directory: string): Promise<string[]> {
  await mkdir(join(directory, "blocks"));
  const compilerOptions = { rootDir: "blocks", outDir: "out", noUnusedLocals: false, isolatedDeclarations: false, declaration: false };
  await writeFile(
    join(directory, "tsconfig.json"),
    JSON.stringify({ extends: "../../tsconfig.json", compilerOptions, include: ["blocks"] }),
  );
  for (const page of pages) {
    for (const block of page.blocks.filter(({ language }) => language === "ts")) {
      await writeFile(
        join(directory, "blocks", `${blockName(page, block)}.ts`),
        `${adaptBlock(block.code, page.surroundings)}\nexport {};\n`,
      );
    }
  }
  const failure = await attempt(process.execPath, [join(PROJECT, "node_modules/typescript/bin/tsc"), "-p", directory], PROJECT);
  return failure === undefined ? [] : failure.split("\n");
}

/** `docs-pull-12` is the block in line 12 of docs/pull.md. */
function blockName({ path }: Page, { line }: Block): string {
  return `${path.replaceAll("/", "-").replace(/\.md$/, "")}-${line}`;
}

async function runPage(page: Page, workplace: Workplace): Promise<string[]> {
  const findings: string[] = [];
  for (const block of page.blocks) {
    const failure = await runBlock(page, block, workplace);
    if (failure !== undefined) findings.push(`${page.path}:${block.line}: ${failure}`);
  }
  return findings;
}

async function runBlock(page: Page, block: Block, { compiled, directory }: Workplace): Promise<string | undefined> {
  switch (block.language) {
    case "ts":
      return attempt(process.execPath, [join(compiled, "out", `${blockName(page, block)}.js`)], directory);
    case "sh":
      return runCommands(shellCommands(adaptBlock(block.code, page.surroundings)), directory, page.surroundings.store);
    case "text":
    case "mermaid":
      return undefined;
    default:
      return `a block is ts, sh (both are run), text or mermaid (neither is), but this is "${block.language}"`;
  }
}

async function runCommands(commands: readonly string[], cwd: string, store: string): Promise<string | undefined> {
  const { scripts } = JSON.parse(await readProjectFile("package.json")) as { scripts: Record<string, string> };
  for (const command of commands) {
    const [program = "", ...args] = command.split(/\s+/);
    const script = program === "npm" ? args.at(-1) : undefined;
    if (script !== undefined && script in scripts) continue;
    if (program !== "shale") return `cannot run ${JSON.stringify(command)}`;
    const line = command.replace("shale", '"$0" "$1"');
    const failure = await attempt("sh", ["-c", line, process.execPath, CLI], cwd, { SHALE_STORE: store });
    if (failure !== undefined) return failure;
  }
  return undefined;
}

/** What the program said when it failed. */
async function attempt(
  program: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string | undefined> {
  try {
    await execute(program, args, {
      cwd,
      env: { ...process.env, TMPDIR: cwd, HOME: cwd, XDG_RUNTIME_DIR: cwd, ...env },
      timeout: TIMEOUT_MS,
    });
    return undefined;
  } catch (error) {
    const { stdout = "", stderr = "", message } = error as Error & { stdout?: string; stderr?: string };
    return `${stdout}${stderr}`.trim() || message;
  }
}

if (import.meta.main) {
  const names = (await readdir(join(PROJECT, "docs"))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
  const pages = new Map<string, string>();
  for (const path of ["README.md", ...names.sort()]) pages.set(path, await readProjectFile(path));
  report("docs", await checkPages(pages));
}
