import assert from "node:assert/strict";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Image } from "../../../src/index.ts";
import { NoWayError, runInside } from "../../../tools/demo/run-inside.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** As much of an image as is needed to run it. */
function imageOf(layers: readonly string[]): Image {
  return { config: { entrypoint: ["/program"], cmd: [], env: [] }, layers, profile: "userxattr" } as unknown as Image;
}

test("runInside() says of every way what is missing, and leaves nothing behind", async () => {
  await using directory = await temporaryDirectory();
  const options = { directory: directory.path, signal: new AbortController().signal, path: directory.path };
  await assert.rejects(runInside(imageOf([]), options), (error) => error instanceof NoWayError && error.reasons.length === 3);
  assert.deepEqual(await readdir(directory.path), []);
});

test("runInside() takes the next way when one fails, on a copy of all layers", async () => {
  await using directory = await temporaryDirectory();
  const [bin, lower, upper] = ["bin", "lower", "upper"].map((name) => join(directory.path, name)) as [string, string, string];
  await Promise.all([bin, lower, upper].map((path) => mkdir(path)));
  for (const name of ["unshare", "mount", "chroot"]) await symlink("/bin/false", join(bin, name));
  // stands in for bubblewrap, whose second argument is the root: it tells what the root holds
  await writeFile(join(bin, "bwrap"), '#!/bin/sh\ncd "$2" && echo *\n', { mode: 0o755 });
  await writeFile(join(lower, "below"), "");
  await writeFile(join(upper, "above"), "");
  const ran = await runInside(imageOf([lower, upper]), { directory: directory.path, signal: new AbortController().signal, path: bin });
  assert.equal(ran.output, "above below\n");
});

test("runInside() runs nothing after it was aborted", async () => {
  await using directory = await temporaryDirectory();
  const reason = new Error("stop");
  await symlink("/bin/true", join(directory.path, "bwrap"));
  const options = { directory: directory.path, signal: AbortSignal.abort(reason), path: directory.path };
  await assert.rejects(runInside(imageOf([]), options), (error) => error === reason);
  assert.deepEqual(await readdir(directory.path), ["bwrap"]);
});
