import assert from "node:assert/strict";
import { test } from "node:test";
import { checkImports } from "../../tools/check-imports.ts";

function pathsFound(files: Record<string, string>): string[] {
  return checkImports(new Map(Object.entries(files))).map((finding) => finding.split(":")[0] ?? "");
}

test("checkImports() accepts imports that point up the list, within a folder, to format/ and to packages", () => {
  const files = {
    "src/pull/pull.ts": 'import { a } from "../store/a.ts";\nimport type { B } from "./b.ts";\nimport { c } from "undici";\n',
    "src/store/a.ts":
      'import {\n  x,\n  y,\n} from "../../format/sidecar.ts";\nconst late = await import("../errors.ts");\nexport const PREFIX: string = ".wh.";\n',
    "src/index.ts": 'export { pull } from "./pull/pull.ts";\n',
    "src/cli/main.ts": 'import { pull } from "../index.ts";\n',
  };
  assert.deepEqual(pathsFound(files), []);
});

for (const [why, path, text] of [
  ["a folder that stands below", "src/image/x.ts", 'import type { S } from "../store/s.ts";\n'],
  ["a folder that stands below, over several lines", "src/tar/x.ts", 'import {\n  s,\n} from "../store/s.ts";\n'],
  ["a folder that stands below, at run time", "src/tree/x.ts", 'const { pull } = await import("../pull/pull.ts");\n'],
  ["src/ from format/", "format/x.ts", 'import { s } from "../src/errors.ts";\n'],
  ["the store from a source", "src/source/x.ts", 'import { s } from "../store/s.ts";\n'],
  ["behind the public API from the command line", "src/cli/x.ts", 'import { s } from "../store/s.ts";\n'],
  ["tests from src/", "src/pull/x.ts", 'import { s } from "../s.ts";\n'],
  ["a folder that the list does not have", "src/pull/x.ts", 'import { s } from "../misc/s.ts";\n'],
] as const) {
  test(`checkImports() finds an import of ${why}`, () => assert.deepEqual(pathsFound({ [path]: text }), [path]));
}

test("checkImports() finds a barrel outside the entry points", () => {
  const files = { "src/store/all.ts": 'export { a } from "./a.ts";\n', "src/store/star.ts": 'export * from "./a.ts";\n' };
  assert.deepEqual(pathsFound(files), ["src/store/all.ts", "src/store/star.ts"]);
});
