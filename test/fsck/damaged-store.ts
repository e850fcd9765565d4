/** A small store that contains every kind of object, and ways to damage it. */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after } from "node:test";
import { Sidecar } from "../../format/index.ts";
import { fsck } from "../../src/fsck/fsck.ts";
import type { FsckOptions } from "../../src/fsck/fsck-context.ts";
import type { Finding } from "../../src/fsck/finding.ts";
import { buildLayer, type TestLayer } from "../../src/testing/index.ts";
import { acquireCatalogLock } from "../../src/store/catalog/catalog-lock.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { localStore, type LocalStore } from "../support/local-images.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";

export const BIG: Buffer = Buffer.alloc(1_300_000, "strata ");

export interface DamagedStore extends AsyncDisposable {
  readonly local: LocalStore;
  readonly layout: StoreLayout;
  readonly base: TestLayer;
  readonly top: TestLayer;
  /** The trees of the image `two`: base, top. */
  readonly trees: readonly string[];
  /** Returns the path of a file in the base layer's tree. */
  file(path: string): string;
  /** Returns the link source of a file in the base layer's tree. */
  chunk(path: string): string;
  check(options?: FsckOptions): Promise<Finding[]>;
}

/** The images' layers and trees, as `intactStore` made them. */
interface Intact {
  readonly directory: TemporaryDirectory;
  readonly base: TestLayer;
  readonly top: TestLayer;
  readonly trees: readonly string[];
}

let intact: Promise<Intact> | undefined;

after(async () => (await intact)?.directory[Symbol.asyncDispose]());

/**
 * Makes a store with two images: `one` has the base layer, `two` has the base layer and the top layer. Moves it from `current` to
 * `intact`: a copy at `current` then has the paths that the references of its images contain.
 */
async function intactStore(): Promise<Intact> {
  const directory = await temporaryDirectory();
  const current = join(directory.path, "current");
  await mkdir(current);
  const base = await buildLayer([
    { path: "etc/", type: "directory", mtime: 100 },
    { path: "etc/motd", content: "hello\n", mtime: 5 },
    { path: "etc/same", content: "hello\n", mtime: 5 },
    { path: "etc/other", content: "hello\n", mtime: 6, mode: 0o600 },
    { path: "bin/tool", content: BIG, mode: 0o4755, xattrs: { "user.note": "kept" }, mtime: 7 },
    { path: "bin/alias", type: "hardlink", target: "bin/tool", mode: 0o4755, mtime: 7 },
    { path: "bin/sh", type: "symlink", target: "tool" },
    { path: "alone", content: "nowhere else\n", mtime: 8 },
    { path: "empty", mtime: 9 },
  ]);
  const top = await buildLayer([
    { path: "etc/again", content: "hello\n", mtime: 5 },
    { path: "etc/.wh.other" },
    { path: "opt/", type: "directory" },
    { path: "opt/.wh..wh..opq" },
  ]);
  await using local = await localStore(current, { workers: 1 });
  await local.pull("one", [base]);
  const trees = await local.pull("two", [base, top]);
  await local.store.close();
  renameSync(current, join(directory.path, "intact"));
  return { directory, base, top, trees };
}

/** Copies the intact store, hard links and extended attributes included, and opens the copy. A test file has one copy at a time. */
export async function damagedStore(): Promise<DamagedStore> {
  const { directory, base, top, trees } = await (intact ??= intactStore());
  const current = join(directory.path, "current");
  if (existsSync(current)) throw new Error("the previous copy of the store was not disposed of");
  await run("cp", ["-a", join(directory.path, "intact"), current]);
  const local = await localStore(current, { workers: 1 });
  const layout = new StoreLayout(local.path);
  // wait until the store's handle has closed the catalog
  (await acquireCatalogLock(layout)).release();
  const file = (path: string): string => join(trees[0]!, path);
  return {
    local,
    layout,
    base,
    top,
    trees,
    file,
    chunk: (path) => linkSource(layout.chunks, statSync(file(path)).ino),
    check: async (options = {}) => collect(local.path, options),
    [Symbol.asyncDispose]: async () => {
      await local[Symbol.asyncDispose]();
      rmSync(current, { recursive: true });
    },
  };
}

/** Runs fsck with one worker: these stores are small, and most of the time goes into starting workers. */
export async function collect(path: string, options: FsckOptions = {}): Promise<Finding[]> {
  const found: Finding[] = [];
  for await (const one of fsck(path, { workers: 1, ...options })) found.push(one);
  return found;
}

function linkSource(chunks: string, inode: number): string {
  const files = readdirSync(chunks, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const match = files.map((entry) => join(entry.parentPath, entry.name)).find((path) => lstatSync(path).ino === inode);
  if (match === undefined) throw new RangeError("no link source has this inode");
  return match;
}

/** Changes the content and restores size and mtime, as a malicious program in a sandbox would. */
export function overwriteQuietly(path: string): void {
  const { atime, mtime } = statSync(path);
  const bytes = readFileSync(path);
  bytes[0] = bytes[0]! ^ 1;
  writeFileSync(path, bytes);
  utimesSync(path, atime, mtime);
}

export function flipByte(path: string, at: number): void {
  const bytes = readFileSync(path);
  const position = at < 0 ? bytes.length + at : at;
  bytes[position] = bytes[position]! ^ 0x10;
  writeFileSync(path, bytes);
}

export function sha256Of(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** Returns the kinds of the findings without notes, sorted, without duplicates. */
export function kindsOf(findings: readonly Finding[]): string[] {
  return [...new Set(findings.filter(({ severity }) => severity !== "note").map(({ kind }) => kind))].sort((a, b) => (a < b ? -1 : 1));
}

export async function sidecarPaths(path: string): Promise<string[]> {
  using sidecar = await Sidecar.openFile(path);
  return Array.from({ length: sidecar.live }, (_, entry) => sidecar.path(entry));
}
