/**
 * What a pull cannot do without, piece by piece, as CPU seconds on one core: floor TREES OUT BLOB... Prints JSON.
 *
 * TREES holds the layers' trees as shale made them; OUT is a new directory on the same file system; the blobs are the layers'.
 * Reading the input is not counted. Every piece uses the cheapest way that Node has.
 */
import { createHash, hash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fchownSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeSync,
  type Stats,
} from "node:fs";
import { sniffCompression } from "../../src/image/compression.ts";
import { createInflater } from "../../src/ingest/pipeline/inflate.ts";
import { readEntry } from "../../src/tar/read-entry.ts";
import type { Floor } from "./result.ts";

const SLAB_BYTES = 1 << 20;
const BATCH_BYTES = 16 << 20;
const FOLDERS = 256;

type Costs = { -readonly [Piece in keyof Floor]: number };

/** A file that the trees have once or several times. */
interface File {
  readonly path: Buffer;
  readonly stat: Stats;
  readonly made: string;
}

const [trees = "", out = "", ...blobs] = process.argv.slice(2);
const costs: Costs = { inflate: 0, blobDigest: 0, layerDigest: 0, framing: 0, fileDigests: 0, create: 0, link: 0 };
process.umask(0);
for (const blob of blobs) await readLayer(blob);
makeFiles();
process.stdout.write(`${JSON.stringify(costs)}\n`);

/** Counts the CPU time of the whole process while it works, the runtime's other threads included. */
function count<T>(piece: keyof Floor, work: () => T): T {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  costs[piece] += (user + system) / 1e6;
  return result;
}

async function readLayer(path: string): Promise<void> {
  const blob = readFileSync(path);
  count("blobDigest", () => hash("sha256", blob));
  const inflater = createInflater(sniffCompression(blob));
  const digest = createHash("sha256");
  const slab = Buffer.alloc(SLAB_BYTES);
  let [held, at, skip] = [0, 0, 0];
  for (;;) {
    const step = count("inflate", () => inflater.step(blob.subarray(at), slab.subarray(held), true));
    if (step instanceof Promise) throw new Error("inflate: only Node's asynchronous way is there");
    if (step.consumed === 0 && step.produced === 0) break;
    at += step.consumed;
    const end = held + step.produced;
    count("layerDigest", () => digest.update(slab.subarray(held, end)));
    const next = count("framing", () => walk(slab, skip, end));
    skip = Math.max(0, next - end);
    held = Math.max(0, end - next);
    if (held > 0) slab.copyWithin(0, next, end);
  }
  inflater.close();
}

/** Reads all whole headers from `start`; where the next entry begins, which may be beyond `end`. */
function walk(slab: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const entry = readEntry(slab, at, end);
    if (entry === "more") return at;
    if (entry === "end") return end;
    at = entry.end;
  }
  return at;
}

function makeFiles(): void {
  const files = new Map<number, File>();
  const links: (() => void)[] = [];
  for (let folder = 0; folder < FOLDERS; folder++) mkdirSync(`${out}/files/${folder}`, { recursive: true });
  for (const tree of readdirSync(trees)) visit(Buffer.from(`${trees}/${tree}`), Buffer.from(`${out}/${tree}`), { files, links });
  let batch: File[] = [];
  let bytes = 0;
  for (const file of files.values()) {
    batch.push(file);
    if ((bytes += file.stat.size) < BATCH_BYTES) continue;
    createAll(batch);
    [batch, bytes] = [[], 0];
  }
  createAll(batch);
  count("link", () => links.forEach((link) => link()));
}

function visit(from: Buffer, to: Buffer, found: { readonly files: Map<number, File>; readonly links: (() => void)[] }): void {
  const stat = lstatSync(from);
  if (stat.isDirectory()) {
    found.links.push(() => mkdirSync(to, 0o700));
    for (const name of readdirSync(from, { encoding: "buffer" })) visit(below(from, name), below(to, name), found);
    found.links.push(() => chmodSync(to, stat.mode & 0o7777));
  } else if (stat.isSymbolicLink()) {
    const target = readlinkSync(from, { encoding: "buffer" });
    found.links.push(() => symlinkSync(target, to));
  } else if (stat.isFile()) {
    const made = `${out}/files/${stat.ino % FOLDERS}/${stat.ino}`;
    if (!found.files.has(stat.ino)) found.files.set(stat.ino, { path: from, stat, made });
    found.links.push(() => linkSync(made, to));
  }
}

function createAll(files: readonly File[]): void {
  const contents = files.map(({ path }) => readFileSync(path));
  count("fileDigests", () => contents.forEach((content) => hash("sha256", content)));
  count("create", () => files.forEach((file, index) => create(file, contents[index]!)));
}

function create({ made, stat }: File, content: Buffer): void {
  const fd = openSync(made, "wx", stat.mode & 0o7777);
  for (let at = 0; at < content.length;) at += writeSync(fd, content, at);
  if (stat.uid !== process.getuid!() || stat.gid !== process.getgid!()) fchownSync(fd, stat.uid, stat.gid);
  futimesSync(fd, stat.atimeMs / 1000, stat.mtimeMs / 1000);
  closeSync(fd);
}

function below(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, Buffer.from("/"), name]);
}
