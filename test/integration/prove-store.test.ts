/** The store of the real Debian image, proved: every layer byte for byte, what that costs, and fsck at every level. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fsck, openStore, Registry, type Finding, type FsckLevel } from "../../src/index.ts";
import { verifySidecar } from "../../format/index.ts";
import { ensureImages } from "../support/ensure-images.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

async function check(path: string, options: { level: FsckLevel; repair?: boolean }): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of fsck(path, options)) findings.push(finding);
  return findings;
}

test("`store.exportLayer()` gives back every layer of the Debian image, and the kept headers take at most 2 % of it", async (context) => {
  const { layout } = await ensureImages();
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "store");
  await using store = await openStore(path);
  await using registry = new Registry({ store });
  await using image = await registry.pull(`oci:${layout}:full`);
  let [kept, total] = [0, 0];
  for (const diffId of image.config.diffIds) {
    const digest = createHash("sha256");
    for await (const piece of store.exportLayer(diffId)) {
      digest.update(piece);
      total += piece.length;
    }
    assert.equal(`sha256:${digest.digest("hex")}`, diffId);
    const folder = join(path, "layers", diffId.replace(":", "-"));
    await verifySidecar(join(folder, "sidecar"));
    kept += statSync(join(folder, "headers")).size;
  }
  context.diagnostic(`headers: ${kept} of ${total} bytes, ${((100 * kept) / total).toFixed(2)} %`);
  assert.ok(kept <= total * 0.02);
});

test("`fsck()` finds nothing in a store with the Debian image, and rebuilds its catalog", async (context) => {
  const { layout, tags } = await ensureImages();
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "store");
  {
    await using store = await openStore(path);
    await using registry = new Registry({ store });
    for (const tag of tags) await (await registry.pull(`oci:${layout}:${tag}`)).close();
    await (await registry.pull(`oci:${layout}:full`, { profile: "userxattr" })).close();
  }
  for (const level of ["quick", "default", "full"] as const) {
    const started = performance.now();
    assert.deepEqual(await check(path, { level }), []);
    context.diagnostic(`${level}: ${Math.round(performance.now() - started)} ms`);
  }
  rmSync(join(path, "db"), { recursive: true });
  assert.deepEqual(
    (await check(path, { level: "default", repair: true })).map(({ kind, state }) => [kind, state]),
    [["catalog-missing", "corrected"]],
  );
  assert.deepEqual(await check(path, { level: "default" }), []);
});
