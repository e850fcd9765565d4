/**
 * What a pull asks of the kernel, as strace (which must be installed) counts it, and of the heap: a guard against work that creeps in. Counts
 * of calls that name something in the store, and bytes; never times. Where a bound fails because less is done, lower it; where more is needed, say why.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { before, after, test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { buildImage, buildLayer, writeLayout, type TestEntry } from "../../src/testing/index.ts";
import { PROJECT } from "../../tools/project.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";

const SHALE = join(PROJECT, "dist/src/cli/main.js");
const EQUAL_EVERY = 10;
/** Bytes that all heaps together allocate for each file more: 8,900 to 9,600, the more the later V8 has compiled what runs; and half as much. */
const ALLOCATED = 14_000;
const [FEW, MANY] = [50, 500] as const;

/** Upper bounds of calls for each file more, by kind: what it takes now, and a little. */
const BOUNDS = {
  open: 1.05,
  write: 1.1,
  close: 1.05,
  utimens: 1.05,
  rename: 0.05,
  link: 1.9, // one; most folders of chunks/ are new here, so that many a link is tried twice
  mkdir: 0.9, // the same folders
  stat: 1.8,
  chmod: 0.05,
  chown: 0.05,
  read: 0.1,
  unlink: 0.05,
  sync: 0,
} as const;

type Kind = keyof typeof BOUNDS;

const KINDS: Readonly<Record<Kind, RegExp>> = {
  open: /^(?:open|openat|openat2|creat)$/,
  write: /^p?writev?(?:64|2)?$/,
  close: /^close$/,
  utimens: /^utime/,
  rename: /^rename/,
  link: /^link(?:at)?$/,
  mkdir: /^mkdir/,
  stat: /stat(?:x|at|at64|64)?$/,
  chmod: /chmod(?:at2?)?$/,
  chown: /chown(?:at)?$/,
  read: /^(?:p?readv?(?:64|2)?|getdents64|copy_file_range|sendfile|mmap)$/,
  unlink: /^(?:unlink|rmdir)/,
  sync: /sync/,
};

/** For `locks/` and LevelDB, which a slow machine opens more often: 0.02 to 0.35 for each file more, none of it because of the file. */
const TIMED_BOUND = 1.5;

interface Trace {
  /** But for those of `locks/` and `db/`. */
  readonly calls: Readonly<Record<Kind, number>>;
  /** That name something in `locks/` or `db/`, of whatever kind. */
  readonly timed: number;
  /** All that name something in the store, by name. */
  readonly byName: ReadonlyMap<string, number>;
  /** Asked to be written to files of the store. */
  readonly bytesWritten: number;
  /** Files made in the store, but for those of `locks/` and `db/`. */
  readonly created: number;
}

const scope: { directory: TemporaryDirectory; path: string } = { directory: await temporaryDirectory(), path: "" };
before(async () => {
  scope.path = scope.directory.path;
  for (const count of [FEW, MANY]) {
    await writeImage(`half-${count}`, count, 2);
    await writeImage(`third-${count}`, count, 3);
  }
});
after(() => scope.directory[Symbol.asyncDispose]());

/** Files of 500 bytes, every tenth the same, dealt to so many layers. */
async function writeImage(tag: string, count: number, layers: number): Promise<void> {
  const lists = Array.from({ length: layers }, (): TestEntry[] => [{ path: "d", type: "directory" }]);
  for (let at = 0; at < count; at++)
    lists[at % layers]!.push({ path: `d/${at}`, content: (at % EQUAL_EVERY === 0 ? "equal" : `${at}`).padEnd(500, "."), mtime: 1000 });
  const image = buildImage({ layers: await Promise.all(lists.map((entries) => buildLayer(entries))) });
  await writeLayout(join(scope.path, tag), { [tag]: image });
}

async function newStore(name: string): Promise<string> {
  const store = join(scope.path, name);
  await mkdir(store, { mode: 0o700 });
  return store;
}

async function tracePull(store: string, tag: string): Promise<Trace> {
  const log = join(scope.path, "strace.log");
  const pull = [process.execPath, SHALE, "pull", `oci:${join(scope.path, tag)}:${tag}`, "--store", store, "--quiet"];
  await run("strace", ["-f", "-y", "-s", "8", "-o", log, ...pull]);
  return readTrace(readFileSync(log, "latin1"), store);
}

/** A call is counted where it begins; the file behind a descriptor stands with it (`-y`). */
function readTrace(log: string, store: string): Trace {
  const calls = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, 0])) as Record<Kind, number>;
  const byName = new Map<string, number>();
  let [timed, bytesWritten, created] = [0, 0, 0];
  for (const line of log.split("\n")) {
    const match = /^\d+ +(\w+)\((.*)$/.exec(line);
    // a lock's record of progress is written as time passes
    if (!match || !line.includes(`${store}/`) || /^\d+ +pwrite64\(\d+<[^>]*\/locks\//.test(line)) continue;
    const [, name = "", rest = ""] = match;
    byName.set(name, (byName.get(name) ?? 0) + 1);
    if (KINDS.write.test(name)) bytesWritten += Number(/"(?:\.\.\.)?, (\d+)/.exec(rest)?.[1] ?? 0);
    if (line.includes(`${store}/locks`) || line.includes(`${store}/db`)) {
      timed++;
      continue;
    }
    for (const kind of Object.keys(KINDS) as Kind[]) if (KINDS[kind].test(name)) calls[kind]++;
    if (KINDS.open.test(name) && rest.includes("O_CREAT")) created++;
  }
  return { calls, timed, byName, bytesWritten, created };
}

type PerFile = Readonly<Record<Kind | "timed", number>>;

/** What each file more takes, told as well. */
function callsPerFile(t: TestContext, few: Trace, many: Trace): PerFile {
  const rows = (Object.keys(KINDS) as Kind[]).map((kind) => [kind, many.calls[kind] - few.calls[kind]] as const);
  const perFile = [...rows, ["timed", many.timed - few.timed] as const].map(([kind, calls]) => [kind, calls / (MANY - FEW)] as const);
  for (const [kind, calls] of perFile) t.diagnostic(`${kind}: ${calls.toFixed(2)}`);
  return Object.fromEntries(perFile) as PerFile;
}

function aboveBounds(perFile: PerFile, bounds: Readonly<Record<Kind, number>>): string[] {
  return Object.entries({ ...bounds, timed: TIMED_BOUND }).flatMap(([kind, bound]) => (perFile[kind as Kind] > bound ? [kind] : []));
}

/** Link sources in the store. */
function chunkFiles(store: string): number {
  return readdirSync(join(store, "chunks"), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length;
}

test("`shale pull` asks the kernel for no more calls for each new file than it did", async (t) => {
  const [few, many] = [await tracePull(await newStore("a"), `half-${FEW}`), await tracePull(await newStore("b"), `half-${MANY}`)];
  const perFile = callsPerFile(t, few, many);
  assert.deepEqual(aboveBounds(perFile, BOUNDS), []);
  assert.ok(perFile.open > 0.5 && perFile.link > 0.5, "the store's own calls were seen");
});

test("`shale pull` allocates no more on the heaps of its threads for each new file than it did", async (t) => {
  const [few, many] = [5000, 15_000];
  const allocated: number[] = [];
  for (const count of [few, many]) {
    await writeImage(`one-${count}`, count, 1);
    const pull = [
      "--trace-gc",
      SHALE,
      "pull",
      `oci:${join(scope.path, `one-${count}`)}:one-${count}`,
      "--store",
      await newStore(`heap-${count}`),
    ];
    allocated.push(allocatedBytes((await run(process.execPath, [...pull, "--quiet"])).toString()));
  }
  const perFile = (allocated[1]! - allocated[0]!) / (many - few);
  t.diagnostic(`${perFile.toFixed(0)} bytes a file`);
  assert.ok(perFile > ALLOCATED / 4, `only ${perFile} bytes a file were seen`);
  assert.ok(perFile <= ALLOCATED, `${perFile} bytes a file`);
});

/** From the lines of --trace-gc: of each heap, what came to it between one collection and the next. */
function allocatedBytes(log: string): number {
  const left = new Map<string, number>();
  let sum = 0;
  for (const [, heap, before, after] of log.matchAll(
    /^\[\d+:(0x\w+)[^\n]*?: (?:Scavenge|Mark-Compact)[^\n]*? ([\d.]+) \([\d.]+\) -> ([\d.]+) \(/gm,
  )) {
    sum += Number(before) - (left.get(heap!) ?? 0);
    left.set(heap!, Number(after));
  }
  return sum * 1024 ** 2;
}

test("`shale pull` makes one link source for each file of an image, and writes little beside the contents", async (t) => {
  const store = await newStore("c");
  const trace = await tracePull(store, `half-${MANY}`);
  assert.equal(chunkFiles(store), MANY);
  t.diagnostic(`${trace.created} files made, ${trace.bytesWritten} bytes written`);
  assert.ok(trace.created <= MANY + 40, `${trace.created} files were made for ${MANY}`);
  assert.ok(trace.bytesWritten <= MANY * 500 * 1.6, `${trace.bytesWritten} bytes were written`);
});

test("`shale pull` of the same files in other layers makes no link source, and no file for a file", async (t) => {
  const traces: Trace[] = [];
  for (const count of [FEW, MANY]) {
    const store = await newStore(`other-${count}`);
    await tracePull(store, `half-${count}`);
    traces.push(await tracePull(store, `third-${count}`));
    assert.equal(chunkFiles(store), count);
  }
  const [few, many] = traces;
  t.diagnostic(
    `${many!.created} files made, ${many!.bytesWritten} bytes written; for ${FEW} files ${few!.created} and ${few!.bytesWritten}`,
  );
  assert.ok(many!.created <= few!.created + 2, `${many!.created} files were made, and ${few!.created} for ${FEW}`);
  assert.ok(many!.bytesWritten <= MANY * 500, `${many!.bytesWritten} bytes were written`);
});

test("`shale pull` of an image that is there asks for as many calls for 500 files as for 50", async (t) => {
  const traces: Trace[] = [];
  for (const count of [FEW, MANY]) {
    const store = await newStore(`cached-${count}`);
    await tracePull(store, `half-${count}`);
    await tracePull(store, `half-${count}`);
    traces.push(await tracePull(store, `half-${count}`));
  }
  const [few, many] = traces;
  t.diagnostic(JSON.stringify(Object.fromEntries(many!.byName)));
  assert.deepEqual([...many!.byName].sort(), [...few!.byName].sort());
  assert.ok(many!.calls.open > 0, "the store's own calls were seen");
  assert.ok(many!.calls.open <= 12, `${many!.calls.open} files were opened`);
});

/** Upper bounds for each file more: its chunk and its name in the tree are unlinked, the chunk's folder and its copies looked for. */
const REMOVAL_BOUNDS: Readonly<Record<Kind, number>> = {
  open: 0.1,
  write: 0.05,
  close: 0.1,
  utimens: 0.02,
  rename: 0.02,
  link: 0.02,
  mkdir: 0.02,
  stat: 1.2,
  chmod: 0.02,
  chown: 0.02,
  read: 0.15,
  unlink: 2.02,
  sync: 0.02,
};

test("`Store#gc` asks the kernel for no more calls for each file that goes than it did", async (t) => {
  const traces: Trace[] = [];
  for (const count of [FEW, MANY]) {
    const store = await newStore(`removed-${count}`);
    const reference = `app:${count}`;
    await run(process.execPath, [
      SHALE,
      "pull",
      `oci:${join(scope.path, `half-${count}`)}:half-${count}`,
      "--as",
      reference,
      "--store",
      store,
      "--quiet",
    ]);
    const [log, program] = [join(scope.path, "removal.log"), join(scope.path, "removal.mjs")];
    const text = `
      import { openStore } from ${JSON.stringify(new URL("../../src/index.js", import.meta.url).href)};
      await using store = await openStore(${JSON.stringify(store)});
      await store.remove(${JSON.stringify(reference)});
      await store.gc({ keepYoungerMs: 0 });`;
    writeFileSync(program, text);
    await run("strace", ["-f", "-y", "-s", "8", "-o", log, process.execPath, program]);
    assert.equal(chunkFiles(store), 0);
    traces.push(readTrace(readFileSync(log, "latin1"), store));
  }
  const [few, many] = traces;
  t.diagnostic(JSON.stringify(Object.fromEntries(many!.byName)));
  const perFile = callsPerFile(t, few!, many!);
  assert.deepEqual(aboveBounds(perFile, REMOVAL_BOUNDS), []);
  assert.ok(perFile.unlink > 1.8, "the store's own calls were seen");
});

/** The system calls of a pull of an image that the process has pulled before, with the release of its lease. */
async function callsOfLaterPull(store: string, tag: string): Promise<string[]> {
  const log = join(scope.path, "again.log");
  const program = `
    import { existsSync } from "node:fs";
    import { openStore, Registry } from ${JSON.stringify(new URL("../../src/boot.js", import.meta.url).href)};
    await using store = await openStore(${JSON.stringify(store)});
    await using registry = new Registry({ store });
    const pull = async () => { await using image = await registry.pull(${JSON.stringify(`app:${tag}`)}, { pullPolicy: "never" }); };
    await pull();
    for (let round = 0; round < 3; round++) {
      existsSync("/begin-of-pull");
      await pull();
      existsSync("/end-of-pull");
    }`;
  await run("strace", ["-f", "-o", log, process.execPath, "--input-type=module", "-e", program]);
  const lines = readFileSync(log, "latin1").split("\n");
  const marks = (name: string): number[] => lines.flatMap((line, index) => (line.includes(name) ? [index] : []));
  const ends = marks("/end-of-pull");
  const rounds = marks("/begin-of-pull").map((begin, round) => {
    const [thread = ""] = lines[begin]!.split(" ");
    const own = lines.slice(begin + 1, ends[round]).filter((line) => line.startsWith(`${thread} `));
    const names = own.map((line) => /^\d+ +(\w+)\(/.exec(line)?.[1] ?? "");
    // of V8's threads and memory
    return names.filter((name) => name !== "" && !/^(?:futex|mmap|munmap|madvise|mprotect|brk|sched_yield|epoll_\w+)$/.test(name));
  });
  // another thread may wake the event loop during a pull, which then reads that; not in every round
  return rounds.reduce((least, calls) => (calls.length < least.length ? calls : least));
}

test("`Registry#pull` of an image that this process pulled before makes seven calls, and one a layer", async (t) => {
  const images = [`half-${FEW}`, `half-${MANY}`, `third-${FEW}`];
  const store = await newStore("again");
  for (const tag of images)
    await run(process.execPath, [SHALE, "pull", `oci:${join(scope.path, tag)}:${tag}`, "--as", `app:${tag}`, "--store", store, "--quiet"]);
  // what was written just now is read again each time
  await delay(2100);
  const calls: string[][] = [];
  for (const tag of images) calls.push(await callsOfLaterPull(store, tag));
  for (const list of calls) t.diagnostic(list.join(" "));
  assert.deepEqual(
    calls.map((list) => list.length),
    [9, 9, 10],
  );
});
