import assert from "node:assert/strict";
import { test } from "node:test";
import { checkDependencies } from "../../tools/check-dependencies.ts";

const docs = "| package | why |\n|---|---|\n| `level` | x |\n| `@a/b` | x |\n";

test("checkDependencies() accepts a row for each runtime dependency and ignores development ones", () => {
  const manifest = { dependencies: { level: "1", "@a/b": "1" }, devDependencies: { typescript: "7" } };
  assert.deepEqual(checkDependencies(JSON.stringify(manifest), docs), []);
});

test("checkDependencies() finds a dependency without a row and a row without a dependency", () => {
  const found = checkDependencies(JSON.stringify({ dependencies: { level: "1", undici: "1" } }), docs);
  assert.equal(found.length, 2);
});
