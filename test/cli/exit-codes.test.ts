import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { EXIT_CODES, exitCodeOf } from "../../src/cli/exit-codes.ts";

test("exitCodeOf() gives every documented error a documented exit code", async () => {
  const page = await readFile(new URL("../../../docs/errors.md", import.meta.url), "utf8");
  const codes = [...page.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code = ""]) => code);
  assert.ok(codes.length > 50);
  const documented = EXIT_CODES.map(([code]) => code);
  for (const code of codes) assert.ok(documented.includes(exitCodeOf(code)), code);
});

for (const [code, exitCode] of [
  ["USAGE", 2],
  ["REFERENCE_INVALID", 2],
  ["NOT_CACHED", 3],
  ["IMAGE_NOT_FOUND", 3],
  ["PATH_LOOP", 3],
  ["REGISTRY_UNREACHABLE", 4],
  ["REGISTRY_UNAUTHORIZED", 5],
  ["DIGEST_MISMATCH", 6],
  ["LIMIT_RATIO", 6],
  ["TAR_INVALID", 6],
  ["NOT_A_STORE", 7],
  ["STORE_BUSY", 7],
  ["LOW_DISK", 8],
  ["REFERENCE_PINNED", 9],
  ["MOUNT_FAILED", 1],
  ["INTERNAL", 1],
] as const) {
  test(`exitCodeOf() maps ${code} to ${exitCode}`, () => assert.equal(exitCodeOf(code), exitCode));
}
