import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { missingPrerequisites } from "../../tools/prepare-tests.ts";

test("missingPrerequisites() names what no folder of PATH has as an executable file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "shale-path-"));
  try {
    const missing = () => missingPrerequisites(folder).map(({ program }) => program);
    assert.ok(missing().includes("umoci"));
    await writeFile(join(folder, "umoci"), "");
    await chmod(join(folder, "umoci"), 0o644);
    assert.ok(missing().includes("umoci"));
    await chmod(join(folder, "umoci"), 0o755);
    assert.ok(!missing().includes("umoci"));
  } finally {
    await rm(folder, { recursive: true });
  }
});
