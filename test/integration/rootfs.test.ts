/** Container runtimes boot from trees and from merged root file systems. Needs root. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { materializeRootfs, mountOverlay, openStore, Registry } from "../../src/index.ts";
import { ensureImages } from "../support/ensure-images.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const SCRIPT = 'id -u; python3 -c "print(6 * 7)"; echo x >/etc/new 2>/dev/null || echo read-only';
const SAID = "0\n42\nread-only\n";

interface Spec {
  process: { terminal: boolean; args: string[] };
  root: { path: string; readonly: boolean };
  mounts: { type: string }[];
  linux: { namespaces: { type: string }[]; resources?: unknown };
}

/** Runs the script in a container whose root is `root`, read-only. */
async function crun(root: string, bundle: string): Promise<string> {
  mkdirSync(bundle);
  await run("crun", ["spec"], { cwd: bundle });
  const path = join(bundle, "config.json");
  const spec = JSON.parse(readFileSync(path, "utf8")) as Spec;
  spec.process = { ...spec.process, terminal: false, args: ["/bin/sh", "-c", SCRIPT] };
  spec.root = { path: root, readonly: true };
  spec.mounts = spec.mounts.filter(({ type }) => type !== "cgroup" && type !== "cgroup2");
  spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== "cgroup");
  delete spec.linux.resources;
  writeFileSync(path, JSON.stringify(spec));
  const args = ["--root", join(bundle, "state"), "--cgroup-manager=disabled", "run", "--bundle", bundle, `shale-test-${process.pid}`];
  // crun starts where version 2 of control groups is all there is; where it is not, here it is
  const script = 'mount -t cgroup2 none /sys/fs/cgroup && exec crun "$@"';
  return (await run("unshare", ["-m", "sh", "-c", script, "sh", ...args])).toString();
}

test("crun and bubblewrap boot from mounted layers and from a merged root file system", async () => {
  const { layout } = await ensureImages();
  await using directory = await temporaryDirectory();
  const place = (name: string): string => join(directory.path, name);
  await using store = await openStore(place("store"), { profile: "overlay" });
  await using registry = new Registry({ store });
  await using image = await registry.pull(`oci:${layout}:full`);
  await materializeRootfs(image, place("merged"), { mode: "link" });
  mkdirSync(place("mounted"));
  await using mounted = await mountOverlay(image, place("mounted"));
  for (const [index, root] of [place("merged"), mounted.target].entries()) {
    assert.equal(await crun(root, place(`bundle-${index}`)), SAID);
    const args = ["--ro-bind", root, "/", "--unshare-all", "/bin/sh", "-c", SCRIPT];
    assert.equal((await run("bwrap", args)).toString(), SAID);
  }
});
