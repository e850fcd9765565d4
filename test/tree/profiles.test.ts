import assert from "node:assert/strict";
import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startStore } from "../support/store-harness.ts";

test("`pull()` makes files of another profile with that profile's owner and mode, not those of the inode they were copied from", async () => {
  await using harness = await startStore();
  const file = { path: "setuid", content: "content", mode: 0o4755, uid: 1000, gid: 1000 };
  const { reference } = await harness.pushEntries("app", [file]);
  for (const profile of ["userxattr", "oci"] as const) {
    const image = await harness.pull(reference, { profile });
    const path = join(image.layers[0]!, "setuid");
    const stat = lstatSync(path);
    assert.equal(stat.mode & 0o7777, profile === "oci" ? 0o600 : 0o755);
    assert.deepEqual([stat.uid, stat.gid], [process.geteuid!(), process.getegid!()]);
    assert.equal(readFileSync(path, "utf8"), "content");
  }
});
