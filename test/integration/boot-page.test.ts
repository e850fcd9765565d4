/** The scripts of docs/boot.md, run as they stand, with an image of this machine. Needs root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { extractBlocks } from "../../tools/docs-blocks.ts";
import { PROJECT, readProjectFile } from "../../tools/project.ts";
import { ensureImages } from "../support/ensure-images.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const scripts = extractBlocks(await readProjectFile("docs/boot.md")).filter(({ code }) => code.startsWith("#!/bin/sh"));

test("docs/boot.md has a script for each way to boot", () => {
  assert.equal(scripts.length, 5);
});

for (const { line, code } of scripts) {
  test(`The script in line ${line} of docs/boot.md boots`, async () => {
    const { layout } = await ensureImages();
    await using directory = await temporaryDirectory();
    const place = (name: string): string => join(directory.path, name);
    mkdirSync(place("bin"));
    mkdirSync(place("work"));
    writeFileSync(place("bin/shale"), `#!/bin/sh\nexec "${process.execPath}" "${join(PROJECT, "dist/src/cli/main.js")}" "$@"\n`, {
      mode: 0o755,
    });
    // crun starts where version 2 of control groups is all there is; where it is not, here it is
    const crun = `mount -t cgroup2 none /sys/fs/cgroup && exec /usr/bin/crun --root "${place("state")}" --cgroup-manager=disabled "$@"`;
    writeFileSync(place("bin/crun"), `#!/bin/sh\nexec unshare -m sh -c '${crun}' sh "$@"\n`, { mode: 0o755 });
    const script = code.replaceAll("alpine:3.20", `oci:${layout}:base`);
    const env = { ...process.env, PATH: `${place("bin")}:${process.env["PATH"] ?? ""}`, SHALE_STORE: place("store") };
    const said = execFileSync("sh", ["-eu", "-c", script], { cwd: place("work"), env, encoding: "utf8" });
    assert.match(said, /^booted as (?:0|a directory)$/m);
  });
}
