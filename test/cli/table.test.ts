import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import stringWidth from "string-width";
import type { Context } from "../../src/cli/command.ts";
import { renderTable, type Column } from "../../src/cli/table.ts";
import { keep } from "./fake-context.ts";

const COLUMNS: readonly Column[] = [
  { title: "NAME", shrinks: true },
  { title: "SIZE", right: true },
  { title: "WHEN", drops: 1 },
];

function contextOf(columns?: number): Context {
  const stdout = keep(columns === undefined ? undefined : { columns, rows: 24 });
  return { stdout, env: { NO_COLOR: "1" } } as unknown as Context;
}

test("renderTable() aligns columns, and shortens nothing without a terminal", async () => {
  const text = await renderTable(COLUMNS, [["x".repeat(200), "1 B", "now"]], contextOf());
  assert.equal(text, `${"NAME".padEnd(200)}  SIZE  WHEN\n${"x".repeat(200)}   1 B  now\n`);
});

test("renderTable() cuts the middle of shrinking cells, then leaves columns out", async () => {
  const row = [`registry.example.com/${"n".repeat(40)}:1.2.3`, "12.3 MB", "5 minutes ago"];
  const wide = (await renderTable(COLUMNS, [row], contextOf(60))).split("\n")[1] ?? "";
  assert.match(wide, /^registry\.example.*….*:1\.2\.3 +12\.3 MB {2}5 minutes ago$/);
  assert.equal(wide.length, 60);
  const narrow = (await renderTable(COLUMNS, [row], contextOf(30))).split("\n")[1] ?? "";
  assert.match(narrow, /^r.*….*3 {2}12\.3 MB$/);
  assert.equal(narrow.length, 30);
});

test("renderTable() is never wider than the terminal, whatever the text", async () => {
  const cell = fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("名前".repeat(30), "e\u0301".repeat(50), "👩‍👩‍👧".repeat(20)));
  const property = fc.asyncProperty(
    fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 }),
    fc.integer({ min: 1, max: 120 }),
    async (rows, width) => {
      const safe = rows.map((row) => row.map((text) => text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, "?")));
      for (const line of (await renderTable(COLUMNS, safe, contextOf(width))).split("\n"))
        assert.ok(stringWidth(line) <= width, JSON.stringify(line));
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

test("renderTable() cuts between characters, never within one", async () => {
  const cut = async (cell: string, width: number): Promise<string | undefined> =>
    (await renderTable([{ title: "N", shrinks: true }], [[cell]], contextOf(width))).split("\n")[1];
  assert.equal(await cut("abc", 3), "abc");
  assert.equal(await cut("abcdefgh", 5), "ab…gh");
  assert.equal(await cut("名前名前名前", 6), "名…前");
  assert.equal(await cut("e\u0301".repeat(9), 3), "e\u0301…e\u0301");
});
