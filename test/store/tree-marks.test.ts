/** What lock files say of trees. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import type { TreeId } from "../../src/store/ids.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { TreeMarks } from "../../src/store/tree-marks.ts";
import { FileLock } from "../../src/system/file-lock.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";

const TREE = "a".repeat(26) as TreeId;
const [FIRST, SECOND] = ["1", "2"].map((digit) => "00000000-0000-4000-8000-000000000000".replaceAll("0", digit)) as [string, string];

interface Marked extends AsyncDisposable {
  readonly layout: StoreLayout;
  text(): string;
  locked(work: (lock: FileLock) => void): void;
}

async function marked(): Promise<Marked> {
  const directory: TemporaryDirectory = await temporaryDirectory();
  const layout = new StoreLayout(directory.path);
  for (const path of [layout.trees, layout.locks, layout.tree(TREE)]) mkdirSync(path, { recursive: true });
  return {
    layout,
    text: () => readFileSync(layout.treeLock(TREE), "utf8"),
    locked: (work) => {
      using lock = FileLock.try(layout.treeLock(TREE));
      work(lock!);
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

test("`TreeMarks.state()` trusts a tree in its boot, and after a sync knows its files in later ones", async () => {
  await using store = await marked();
  const [first, second] = [FIRST, SECOND].map((boot) => new TreeMarks(store.layout, boot)) as [TreeMarks, TreeMarks];
  assert.equal(first.state(TREE), "unknown");
  store.locked((lock) => first.made(lock));
  assert.deepEqual([first.state(TREE), second.state(TREE)], ["trusted", "unknown"]);
  first.markDurable(first.waiting());
  assert.deepEqual([first.state(TREE), second.state(TREE)], ["trusted", "durable"]);
  assert.deepEqual([...first.waiting(), ...second.waiting()], []);
  rmdirSync(store.layout.tree(TREE));
  assert.deepEqual([first.state(TREE), second.state(TREE)], ["unknown", "unknown"]);
});

test("`TreeMarks.checked()` makes a tree of an earlier boot durable, and none of this or an unknown one", async () => {
  await using store = await marked();
  const marks = new TreeMarks(store.layout, SECOND);
  for (const [before, after] of [
    [FIRST, `${SECOND} durable`],
    [`${FIRST} durable`, `${SECOND} durable`],
    [SECOND, SECOND],
    ["", SECOND],
    ["\0".repeat(44), SECOND],
    [`${"\0".repeat(36)} durable`, SECOND],
  ] as const) {
    writeFileSync(store.layout.treeLock(TREE), before);
    store.locked((lock) => marks.checked(lock, TREE));
    assert.equal(store.text(), after);
  }
});

test("`TreeMarks.markDurable()` leaves a tree that was made anew since, and one that is being made", async () => {
  await using store = await marked();
  const marks = new TreeMarks(store.layout, FIRST);
  store.locked((lock) => marks.made(lock));
  const waiting = marks.waiting();
  store.locked(() => marks.markDurable(waiting));
  assert.equal(store.text(), FIRST);
  store.locked((lock) => {
    marks.forget(lock, TREE);
    assert.equal(store.text(), "");
    rmdirSync(store.layout.tree(TREE));
    mkdirSync(`${store.layout.trees}/other`);
    mkdirSync(store.layout.tree(TREE));
    marks.made(lock);
  });
  marks.markDurable(waiting);
  assert.equal(store.text(), FIRST);
});
