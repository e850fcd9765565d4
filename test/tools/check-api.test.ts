import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isChanged, type ReportPaths } from "../../tools/check-api.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("isChanged() finds a changed signature and a missing report, and ignores comments", async () => {
  await using directory = await temporaryDirectory();
  const types = join(directory.path, "index.d.ts");
  const paths = { reports: join(directory.path, "reports"), temporary: join(directory.path, "temporary") };
  for (const folder of Object.values(paths)) mkdirSync(folder);
  const entry = { name: "example", types };
  const check = (declarations: string, update = false): boolean => {
    writeFileSync(types, declarations);
    return isChanged(entry, { ...paths, update } satisfies ReportPaths);
  };
  const accepted = "/** Adds. */\nexport declare function add(a: number, b: number): number;\n";
  assert.equal(check(accepted), true);
  assert.equal(check(accepted, true), false);
  assert.equal(check(accepted.replace("b: number", "b?: number")), true);
  assert.equal(check(accepted.replace("Adds", "Returns the sum")), false);
});
