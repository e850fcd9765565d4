import assert from "node:assert/strict";
import { test } from "node:test";
import { checkPatterns } from "../../tools/check-patterns.ts";

function linesFound(path: string, text: string): string[] {
  return checkPatterns(new Map([[path, text]])).map((finding) => finding.split(" ")[0] ?? "");
}

for (const [what, line] of [
  ["an error told apart by its message", 'if (error.message.includes("EEXIST")) return;'],
  ["an error told apart by its whole message", 'if (error.message === "gone") return;'],
  ["a wildcard export", 'export * from "./a.ts";'],
  ["an enum", "export const enum Kind {"],
  ["a private keyword", "  private readonly count: number;"],
  ["a path in a store that is joined by hand", 'const records = join(this.#parts.layout.images, "records");'],
  ["a path in a store made by a template", "const old = `${layout.staging}/db-replaced`;"],
  ["a pattern of a store's names", "if (/^[a-z2-7]{26}$/.test(name)) return;"],
  ["module-level state", "let cache: Map<string, string> | undefined;"],
] as const) {
  test(`checkPatterns() finds ${what} and says where`, () => {
    assert.deepEqual(linesFound("src/a.ts", `// first\n${line}\n`), ["src/a.ts:2:"]);
  });
}

test("checkPatterns() finds tests that are left out, and only below test/", () => {
  const text = 'test.only("x", f);\ntest("y", { skip: true }, f);\n';
  assert.deepEqual(linesFound("test/a.test.ts", text), ["test/a.test.ts:1:", "test/a.test.ts:2:"]);
  assert.deepEqual(linesFound("src/a.ts", text), []);
});

test("checkPatterns() leaves ordinary code alone", () => {
  const text =
    'function f(): void {\n  let count = 0;\n  #private = 1;\n  private constructor() {}\n  stream.write(error.message);\n}\nexport { a } from "./a.ts";\n';
  assert.deepEqual(linesFound("src/a.ts", text), []);
});
