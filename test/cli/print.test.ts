import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { Context } from "../../src/cli/command.ts";
import { print, printItems, ReaderGone } from "../../src/cli/print.ts";

function contextOf(stdout: PassThrough, signal: AbortSignal = new AbortController().signal): Context {
  return { stdout, signal } as unknown as Context;
}

test("print() waits for drain, and removes its listeners", async () => {
  const stdout = new PassThrough({ highWaterMark: 4 });
  const waiting = print(contextOf(stdout), "longer than that");
  assert.equal(await Promise.race([waiting.then(() => "done"), Promise.resolve("waiting")]), "waiting");
  stdout.resume();
  await waiting;
  assert.deepEqual([stdout.listenerCount("drain"), stdout.listenerCount("close")], [0, 0]);
});

test("print() throws ReaderGone if the reader has gone, also while it waits", async () => {
  const stdout = new PassThrough({ highWaterMark: 4 });
  const waiting = print(contextOf(stdout), "longer than that");
  stdout.destroy();
  await waiting;
  await assert.rejects(print(contextOf(stdout), "more"), ReaderGone);
});

test("print() throws the reason of the signal", async () => {
  const abort = new AbortController();
  const stdout = new PassThrough({ highWaterMark: 4 });
  const context = contextOf(stdout, abort.signal);
  const waiting = print(context, "longer than that");
  const reason = new Error("interrupted");
  abort.abort(reason);
  await waiting;
  await assert.rejects(print(context, "more"), reason);
});

for (const items of [[], ["1"], ["1", '{"a":2}']]) {
  test(`printItems() writes one JSON document of ${items.length} items, one per line`, async () => {
    const stdout = new PassThrough();
    await printItems(contextOf(stdout), items, { before: '{"items":[', after: () => "]}" });
    stdout.end();
    const written = await text(stdout);
    assert.deepEqual(JSON.parse(written), { items: items.map((item) => JSON.parse(item) as unknown) });
    for (const item of items) assert.ok(written.split("\n").some((line) => line.replace(/,$/, "") === item));
  });
}
