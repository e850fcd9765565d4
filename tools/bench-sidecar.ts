/**
 * Measures the sidecar codec and prints a table: node dist/tools/bench-sidecar.js [--from DIR] [ENTRIES ...]
 * Entries are made up from a fixed seed (default: 32,000 and 1,000,000), or are those of a directory.
 */
import { createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { comparePaths, Sidecar, SidecarWriter, verifySidecar } from "../format/index.ts";
import type { SidecarEntry } from "../format/index.ts";

const LOOKUPS = 200_000;

const BLANK: SidecarEntry = {
  path: "",
  mode: 0o040755,
  uid: 0,
  gid: 0,
  rdevMajor: 0,
  rdevMinor: 0,
  xattrs: [],
  mtime: 1_700_000_000,
  mtimeNs: 0,
  size: 0,
  offset: 0,
  chunk: -1,
  flags: 0,
  target: "",
  leader: -1,
};

const { values, positionals } = parseArgs({ allowPositionals: true, options: { from: { type: "string" } } });
const scratch: string = mkdtempSync(join(tmpdir(), "bench-sidecar-"));
try {
  const rows: Record<string, number>[] = [];
  if (values.from !== undefined) rows.push(await measure(entriesOf(values.from)));
  for (const count of positionals.length > 0 || values.from !== undefined ? positionals : ["32000", "1000000"])
    rows.push(await measure(madeUp(Number(count))));
  console.table(rows);
} finally {
  rmSync(scratch, { recursive: true });
}

async function measure(entries: SidecarEntry[]): Promise<Record<string, number>> {
  entries.sort((a, b) => comparePaths(a.path, b.path));
  const file = join(scratch, "sidecar");
  const order = Uint32Array.from(entries.keys());
  let offset = 0;
  let chunks = 0;
  const numbered = entries.map((entry) => (entry.size === 0 ? entry : { ...entry, chunk: chunks++, offset: (offset += 512) }));
  const table = Buffer.alloc(chunks * 32);
  for (let row = 0; row < chunks; row++) table.writeUInt32BE(row, row * 32);
  const encode = await best(async () => {
    const writer = new SidecarWriter({ diffId: createHash("sha256").digest(), indexed: true, live: entries.length });
    for (const entry of numbered) writer.add(entry);
    writeFileSync(file, await writer.finish({ order, chunks: table }));
  });
  const paths = entries.map(({ path }) => path);
  const asked = Array.from({ length: LOOKUPS }, (_, k) => paths[(k * 7919) % paths.length] ?? "");
  const open = await best(async () => {
    using sidecar = await Sidecar.openFile(file);
    sidecar.lookup(asked[1] ?? "");
  }, 50);
  using sidecar = await Sidecar.openFile(file);
  const lookup = await best(async () => {
    for (const path of asked) if (sidecar.lookup(path) === -1) throw new Error(`${path} was not found`);
  });
  return {
    entries: entries.length,
    "bytes/entry": round(statSync(file).size / entries.length),
    "encode+write ms": round(encode),
    "open+lookup ms": round(open),
    "lookups/s": Math.round(LOOKUPS / (lookup / 1000)),
    "walk ms": round(await best(() => walk(file))),
    "entries ms": round(await best(() => allEntries(file))),
    "verify ms": round(await best(async () => void (await verifySidecar(file)), 2)),
  };
}

/** What building a tree reads: path, mode, mtime and chunk of every entry. */
async function walk(file: string): Promise<void> {
  using sidecar = await Sidecar.openFile(file);
  let sum = 0;
  for (let entry = 0; entry < sidecar.live; entry++)
    sum += sidecar.path(entry).length + sidecar.mode(entry) + sidecar.mtime(entry) + sidecar.chunk(entry);
  if (Number.isNaN(sum)) throw new Error("a value is missing");
}

async function allEntries(file: string): Promise<void> {
  using sidecar = await Sidecar.openFile(file);
  for (const entry of sidecar.entriesInPathOrder()) if (entry.mode === 0) throw new Error("a mode is missing");
}

/** The shortest of some runs, in milliseconds. */
async function best(run: () => Promise<void>, runs = 5): Promise<number> {
  let shortest = Number.POSITIVE_INFINITY;
  for (let k = 0; k < runs; k++) {
    const start = performance.now();
    await run();
    shortest = Math.min(shortest, performance.now() - start);
  }
  return shortest;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Ten entries a directory, nested four deep, of a seeded generator. */
function madeUp(count: number): SidecarEntry[] {
  let state = 1;
  const next = (below: number): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) % below;
  const entries = [BLANK];
  const directories = [""];
  while (entries.length < count) {
    const parent = directories[directories.length < 4 ? 0 : next(directories.length)] ?? "";
    const isDirectory = entries.length % 10 === 1 && parent.split("/").length < 6;
    const path = `${parent === "" ? "" : `${parent}/`}${["lib", "python", "share", "doc-"][next(4)]}${entries.length}${isDirectory ? "" : ".so"}`;
    if (isDirectory) directories.push(path);
    const mode = isDirectory ? 0o040755 : [0o100644, 0o100644, 0o100755][next(3)];
    entries.push({ ...BLANK, path, mode: mode ?? 0, size: isDirectory ? 0 : 1 + next(100_000), mtime: 1_700_000_000 + next(1000) });
  }
  return entries;
}

/** What a layer of this directory would hold. Names that are not UTF-8 are left out. */
function entriesOf(root: string): SidecarEntry[] {
  const entries = [BLANK];
  const waiting = [""];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    for (const name of readdirSync(join(root, path))) {
      const full = path === "" ? name : `${path}/${name}`;
      const stat = lstatSync(join(root, full), { throwIfNoEntry: false });
      if (stat === undefined) continue;
      const { mode, uid, gid } = stat;
      const target = stat.isSymbolicLink() ? latin1(readlinkSync(join(root, full))) : "";
      const size = stat.isFile() ? stat.size : 0;
      entries.push({ ...BLANK, path: latin1(full), mode, uid, gid, mtime: Math.floor(stat.mtimeMs / 1000), size, target });
      if (stat.isDirectory()) waiting.push(full);
    }
  }
  return entries;
}

function latin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}
