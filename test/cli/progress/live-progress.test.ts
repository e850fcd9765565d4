import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveProgress } from "../../../src/cli/progress/live-progress.ts";
import { resolved, wholeLayer } from "../../support/progress-events.ts";
import { Screen } from "./screen.ts";

test("LiveProgress draws one line per layer and one for the pull in place, and leaves the last state of the layers", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const screen = new Screen(80, 24);
  const progress = new LiveProgress(screen);
  for (const event of [resolved(2), ...wholeLayer(0), ...wholeLayer(1)]) {
    progress.onEvent(event);
    context.mock.timers.tick(100);
    assert.equal(screen.text.length, 3);
    assert.match(screen.text[2] ?? "", /^total  /);
  }
  progress.stop();
  assert.equal(screen.wraps, 0);
  assert.deepEqual(screen.text, ["0bbbbbbbbbbb  ingested 189 MB", "1bbbbbbbbbbb  ingested 189 MB"]);
});

test("LiveProgress draws a burst of events once", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const screen = new Screen(80, 24);
  const progress = new LiveProgress(screen);
  for (const event of [resolved(2), ...wholeLayer(0), ...wholeLayer(1)]) progress.onEvent(event);
  context.mock.timers.tick(100);
  assert.equal(screen.writes, 1);
  progress.stop();
  assert.equal(screen.writes, 2);
});

test("LiveProgress skips frames while the terminal lags, but draws the last state", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const screen = new Screen(80, 24);
  const progress = new LiveProgress(screen);
  screen.writableNeedDrain = true;
  progress.onEvent(resolved(2));
  context.mock.timers.tick(1000);
  assert.equal(screen.writes, 0);
  progress.stop();
  assert.equal(screen.text.length, 2);
});

test("LiveProgress writes warnings above the layers, escaped", () => {
  const screen = new Screen(80, 24);
  const progress = new LiveProgress(screen);
  progress.onEvent(resolved(1));
  progress.note("first");
  progress.onEvent({ kind: "warning", code: "STORE_DAMAGED", message: "a \u001b[2J b" });
  progress.stop();
  assert.deepEqual(screen.text, ["first", "warning: STORE_DAMAGED: a \\x1b[2J b", "0bbbbbbbbbbb  waiting"]);
});

test("LiveProgress stays within a small terminal", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const screen = new Screen(30, 5);
  const progress = new LiveProgress(screen);
  for (const event of [resolved(12), ...wholeLayer(0).slice(0, 4), ...wholeLayer(3), ...wholeLayer(5).slice(0, 5)]) {
    progress.onEvent(event);
    context.mock.timers.tick(100);
    assert.ok(screen.text.length <= 4);
  }
  progress.stop();
  assert.equal(screen.wraps, 0);
});

test("LiveProgress draws nothing after stop()", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const screen = new Screen(80, 24);
  const progress = new LiveProgress(screen);
  progress.onEvent(resolved(1));
  progress.stop();
  const { writes } = screen;
  progress.onEvent(resolved(3));
  progress.note("late");
  context.mock.timers.tick(1000);
  assert.equal(screen.writes, writes);
});
