/** One image, unpacked by shale and by others: everything that can be seen of it must be equal, and its programs must run. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeBundle, materializeRootfs, mountOverlay, openStore, overlayOptions, Registry, type Image } from "../../src/index.ts";
import { compareTrees, manifestOfTree, type TreeEntry } from "./manifest-of-tree.ts";
import { podmanUnpack } from "./podman-unpack.ts";
import { runBundle } from "./run-bundle.ts";
import { run } from "./run.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { umociUnpack } from "./umoci-unpack.ts";

export interface RealImage {
  readonly layout: string;
  readonly tag: string;
  /** Compare with podman too. */
  readonly podman: boolean;
  /** Shell commands that must succeed in the mounted root file system, as root of it. */
  readonly commands: readonly string[];
}

export async function checkRealImage({ layout, tag, podman, commands }: RealImage): Promise<void> {
  await using directory = await temporaryDirectory();
  await using store = await openStore(join(directory.path, "store"), { profile: "overlay" });
  await using registry = new Registry({ store });
  await using image = await registry.pull(`oci:${layout}:${tag}`);
  const place = (name: string): string => join(directory.path, name);
  const expected = await manifestOfTree(await umociUnpack(layout, tag, place("umoci")));
  for (const mode of ["link", "copy"] as const) {
    await materializeRootfs(image, place(mode), { mode });
    assert.deepEqual(compareTrees(await manifestOfTree(place(mode)), expected), [], `${tag}: ${mode} against umoci`);
  }
  await checkBundle(image, place("bundle"));
  await checkMounted(image, { expected, target: place("mounted"), scratch: place("scratch"), commands });
  if (!podman) return;
  mkdirSync(place("podman"));
  const since = Date.now();
  await using other = await podmanUnpack(layout, tag, place("podman"));
  const [ours, theirs] = [await manifestOfTree(place("link")), await manifestOfTree(other.root)];
  assert.deepEqual(differences(ours, theirs, since), [], `${tag}: against podman`);
}

/** As `docker run IMAGE sh -c ...` prints it: the image's user, working directory and environment. */
async function checkBundle(image: Image, path: string): Promise<void> {
  const args = ["/bin/sh", "-ec", 'id -u; pwd; echo "$PATH"; head -n 1 /etc/os-release; cat /proc/sys/kernel/hostname'];
  await using bundle = await makeBundle(image, path, { rootfs: "overlay", entrypoint: args, hostname: "shale" });
  const { env, workingDir = "/" } = image.config;
  const search = env.find((one) => one.startsWith("PATH="))?.slice(5) ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const [release = ""] = (await image.readFile("/etc/os-release")).toString().split("\n");
  assert.equal(await runBundle(bundle.path), [bundle.user.uid, workingDir, search, release, "shale", ""].join("\n"));
}

interface Mounting {
  readonly expected: readonly TreeEntry[];
  readonly target: string;
  readonly scratch: string;
  readonly commands: readonly string[];
}

async function checkMounted(image: Image, { expected, target, scratch, commands }: Mounting): Promise<void> {
  for (const path of [target, scratch]) mkdirSync(path);
  {
    await using mounted = image.layers.length > 1 ? await mountOverlay(image, target) : await mountOverlay(image, target, {});
    // implied directories have the time 0 in trees, since these are shared by images
    const found = (await manifestOfTree(mounted.target)).map((entry) =>
      entry.mtime === "0.000000000" ? withTime(entry, expected) : entry,
    );
    assert.deepEqual(compareTrees(found, expected), []);
  }
  if (commands.length === 0) return;
  await run("mount", ["-t", "tmpfs", "none", scratch]);
  try {
    const [upper, work] = [join(scratch, "upper"), join(scratch, "work")];
    for (const path of [upper, work]) mkdirSync(path);
    await run("mount", ["-t", "overlay", "image", "-o", overlayOptions(image, { upper, work }), target]);
    try {
      for (const command of commands) await run("chroot", [target, "/bin/sh", "-ec", command]);
      const written = (await run("find", [upper, "-name", "*.pyc"])).toString();
      assert.equal(written, "", "python compiled again what the image has compiled");
    } finally {
      await run("umount", [target]);
    }
  } finally {
    await run("umount", [scratch]);
  }
}

function withTime(entry: TreeEntry, expected: readonly TreeEntry[]): TreeEntry {
  const other = entry.type === "directory" ? expected.find(({ path }) => path === entry.path) : undefined;
  return other ? { ...entry, mtime: other.mtime } : entry;
}

/**
 * Without those that docs/fidelity.md explains: containers/storage makes the root anew, with mode 0555, and gives it and directories
 * that a layer implies the time when it unpacks them, which is not before `since` (ms).
 */
function differences(actual: readonly TreeEntry[], expected: readonly TreeEntry[], since: number): string[] {
  const directories = new Set(actual.filter(({ type }) => type === "directory").map(({ path }) => path));
  return compareTrees(actual, expected).filter((line) => {
    const [, path = "", seconds = ""] = /^(.*): mtime is "[^"]*", not "(\d+)\.\d+"$/.exec(line) ?? [];
    const isUnpackTime = directories.has(path) && Number(seconds) * 1000 >= since - 1000;
    return !isUnpackTime && line !== '.: mode is "0755", not "0555"';
  });
}
