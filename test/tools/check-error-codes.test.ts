import assert from "node:assert/strict";
import { test } from "node:test";
import { checkErrorCodes } from "../../tools/check-error-codes.ts";

const errors = "export interface ErrorDetails {\n  // a group\n  NOT_CACHED: { reference: string };\n  NO_SPACE: { path: string };\n}\n";
const docs = "| code | meaning |\n|---|---|\n| `NOT_CACHED` | x |\n| `NO_SPACE` | x |\n";
const sources = new Map([
  ["src/errors.ts", errors],
  ["src/a.ts", 'throw new ShaleError("NOT_CACHED", m, d);\nif (ShaleError.is(error, "NO_SPACE")) return;\n'],
]);

test("checkErrorCodes() accepts codes that are used and documented", () => {
  assert.deepEqual(checkErrorCodes({ errors, docs, sources }), []);
});

test("checkErrorCodes() finds a code without a use, though its declaration spells it", () => {
  const unused = new Map([...sources, ["src/a.ts", 'const code = "NOT_CACHED";']] as [string, string][]);
  assert.equal(checkErrorCodes({ errors, docs, sources: unused }).length, 1);
});

test("checkErrorCodes() finds a code without a row, a row without a code, and a second row", () => {
  const wrong = docs.replace("`NO_SPACE`", "`NO_SPAEC`") + "| `NOT_CACHED` | again |\n";
  assert.equal(checkErrorCodes({ errors, docs: wrong, sources }).length, 3);
});

test("checkErrorCodes() does not pass when it can read no code at all", () => {
  assert.notDeepEqual(checkErrorCodes({ errors: "", docs: "", sources: new Map() }), []);
});
