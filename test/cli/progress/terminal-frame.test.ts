import assert from "node:assert/strict";
import { test } from "node:test";
import { TerminalFrame } from "../../../src/cli/progress/terminal-frame.ts";
import { Screen } from "./screen.ts";

test("TerminalFrame replaces the block by a longer, shorter or narrower one", () => {
  const screen = new Screen(80, 24);
  const frame = new TerminalFrame(screen);
  for (const lines of [["one"], ["first line", "second"], ["1", "2", "3"], ["x", "y"], [], ["again"]]) {
    frame.draw(lines);
    assert.deepEqual(screen.text, lines);
  }
});

test("TerminalFrame draws each frame by one write, and does not write an unchanged frame", () => {
  const screen = new Screen(80, 24);
  const frame = new TerminalFrame(screen);
  frame.draw(["a", "b"]);
  frame.draw(["a", "b"]);
  assert.equal(screen.writes, 1);
  frame.draw(["a", "c"]);
  assert.equal(screen.writes, 2);
  frame.draw(["c"]);
  assert.equal(screen.writes, 3);
});

test("TerminalFrame leaves a usable screen after each write: no open update, and the cursor below the block", () => {
  const screen = new Screen(80, 24);
  const frame = new TerminalFrame(screen);
  for (const lines of [["a", "b", "c"], ["a", "x", "c"], ["a"], ["a", "b", "c", "d"], []]) {
    frame.draw(lines);
    assert.equal(screen.synchronizing, false);
    assert.deepEqual(screen.cursor, { row: lines.length, column: 0 });
  }
});

test("TerminalFrame draws the whole block, with a visible cursor, on a terminal that reports 0 by 0", () => {
  const written: string[] = [];
  const frame = new TerminalFrame({ write: (text) => written.push(String(text)), isTTY: true, columns: 0, rows: 0 });
  frame.draw(["a", "b"], ["note"]);
  assert.deepEqual(written, ["\u001b[?2026hnote\n\u001b[?2026l", "\u001b[?2026ha\nb\n\u001b[?2026l"]);
});

test("TerminalFrame keeps lines above the block permanently", () => {
  const screen = new Screen(80, 24);
  const frame = new TerminalFrame(screen);
  frame.draw(["a", "b"]);
  frame.draw(["a", "b"], ["note"]);
  frame.draw(["c"]);
  assert.deepEqual(screen.text, ["note", "c"]);
  frame.draw([], ["last"]);
  assert.deepEqual(screen.text, ["note", "last"]);
});

test("TerminalFrame keeps a column and a row free, and assumes 80 by 24 if the size is unknown", () => {
  assert.deepEqual(new TerminalFrame(new Screen(100, 30)).size, { width: 99, height: 29 });
  assert.deepEqual(new TerminalFrame({ write: () => true, columns: 0, rows: 0 }).size, { width: 79, height: 23 });
});
