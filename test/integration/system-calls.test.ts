/** What the kernel is asked to do with files while the whole corpus is pulled, as strace (which must be installed) sees it. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openArena, type Arena } from "../hostile/arena.ts";
import { CORPUS } from "../hostile/corpus.ts";
import type { ChildResult } from "../support/pull-child.ts";
import { run } from "../support/run.ts";

/** A call on a file: paths that it names, and the one behind the descriptor that it gave. */
interface Call {
  readonly name: string;
  readonly paths: readonly string[];
  readonly changes: boolean;
}

const CHANGING: RegExp =
  /^(?:mkdir|rmdir|unlink|rename|link|symlink|chmod|fchmodat|chown|lchown|fchownat|mknod|truncate|utime|setxattr|lsetxattr|removexattr|lremovexattr|mount|creat)/;

/** One line of `strace -f -y -e trace=%file`. */
function parseCall(line: string): Call | undefined {
  const match = /^\d+ +(\w+)\((.*)$/.exec(line);
  if (match === null) return undefined;
  const [, name = "", rest = ""] = match;
  const quoted = Array.from(rest.matchAll(/(?:(?:\d+|AT_FDCWD)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"/g), ([, from = "", text = ""]) =>
    text.startsWith("/") ? text : `${from}/${text}`,
  );
  // the text of a symlink is data; so are names and values of attributes
  const paths = name.startsWith("symlink") ? quoted.slice(1) : name.includes("xattr") ? quoted.slice(0, 1) : quoted;
  const opened = name.startsWith("open") ? /= \d+<([^>]*)>$/.exec(rest)?.[1] : undefined;
  const changes = CHANGING.test(name) || (name.startsWith("open") && /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC/.test(rest));
  return { name, paths: opened === undefined ? paths : [...paths, opened], changes };
}

/** Calls that leave the store, one line each: `openat /etc/passwd`. */
async function callsOutside(arena: Arena, references: readonly string[]): Promise<{ all: Set<string>; changing: string[] }> {
  const directory = join(arena.harness.path, "..");
  const [list, log] = [join(directory, "references"), join(directory, "strace.log")];
  const cwd = join(directory, "empty");
  mkdirSync(cwd, { recursive: true });
  writeFileSync(list, references.join("\n"));
  const program = new URL("../hostile/pull-all.js", import.meta.url).pathname;
  const watch = ["-f", "-y", "-s", "9000", "-o", log, "-e", "trace=%file,fchmod,fchown"];
  await run("strace", [...watch, process.execPath, program, arena.harness.path, list], { cwd });
  const calls = readFileSync(log, "latin1")
    .split("\n")
    .flatMap((line) => parseCall(line) ?? []);
  const inside = (path: string): boolean => path === arena.harness.path || path.startsWith(`${arena.harness.path}/`);
  const leaving = calls.flatMap(({ name, paths, changes }) =>
    paths.filter((path) => !inside(path)).map((path) => ({ text: `${name} ${path}`, changes })),
  );
  assert.ok(
    calls.some(({ paths, changes }) => changes && paths.some(inside)),
    "the store's own calls were seen",
  );
  return { all: new Set(leaving.map(({ text }) => text)), changing: leaving.filter(({ changes }) => changes).map(({ text }) => text) };
}

/**
 * In one run and not in another: Node's own libraries read the clock's frequency when a mutex of theirs is first contended, and the time
 * zone when a date is first wanted in it; glibc reads how memory is promised when it gives back the end of a thread's heap.
 */
const RUNTIME: RegExp = /^openat \/(?:sys\/devices\/system\/cpu\/|usr\/share\/zoneinfo\/|proc\/sys\/vm\/overcommit_memory$)/;

/** Without what differs from one run to the next: directories, process ids and ports. */
function withoutAccidents(text: string, { harness }: Arena): string {
  return (
    text
      .replaceAll(harness.path.replace(/\/store$/, ""), "DIRECTORY")
      // strace names the file behind a descriptor too, but not where two threads interleave
      .replaceAll(/\/proc\/(?:\d+|self)\b/g, "/proc/PID")
      .replaceAll(/127\.0\.0\.1([:_])\d+/g, "127.0.0.1$1PORT")
  );
}

test("`pull()` of every hostile layer asks the kernel for nothing outside the store that an honest image does not need", async (t) => {
  await using honest = await openArena();
  const known = await callsOutside(honest, [(await honest.harness.pushEntries("honest/image", [{ path: "a", content: "a" }])).reference]);
  await using arena = await openArena();
  const references = CORPUS.map((hostile) => arena.push(hostile));
  await arena.harness.store();
  const before = arena.host();
  const seen = await callsOutside(arena, references);
  t.diagnostic(`${references.length} layers; ${seen.all.size} distinct calls outside the store, ${known.all.size} for an honest image`);
  assert.deepEqual(
    seen.changing.filter((text) => !/^openat (?:\/dev\/(?:null|tty)|anon_inode:|\/proc\/self\/)/.test(text)),
    [],
  );
  const expected = new Set([...known.all].map((text) => withoutAccidents(text, honest)));
  const strange = [...seen.all].map((text) => withoutAccidents(text, arena)).filter((text) => !expected.has(text) && !RUNTIME.test(text));
  assert.deepEqual(strange, []);
  assert.equal(arena.host(), before);
});

test("`pull()` makes a call again whose error number the runtime overwrote before it was read", async () => {
  await using arena = await openArena();
  const { reference } = await arena.harness.pushEntries("some/image", [
    { path: "a", content: "a" },
    { path: "b", content: "b" },
  ]);
  const log = join(arena.harness.path, "..", "strace.log");
  // with trees, files would get their names in chunks/ by link(2)
  const options = { materialize: "lazy" };
  const request = JSON.stringify({ store: join(arena.harness.path, "..", "retried"), references: [reference], options });
  const program = new URL("../support/pull-child.js", import.meta.url).pathname;
  // every other one, of each thread
  const injected = ["-e", "trace=renameat2", "-e", "inject=renameat2:error=EAGAIN:when=1+2"];
  const stdout = await run("strace", ["-f", "-o", log, ...injected, process.execPath, program, request]);
  assert.equal((JSON.parse(stdout.toString()) as ChildResult).error, undefined);
  assert.ok((readFileSync(log, "utf8").match(/EAGAIN .*\(INJECTED\)/g) ?? []).length >= 2);
});
