/** A pulled image, its layers stacked by the kernel: against the same image unpacked by umoci, and as a root file system. */
import assert from "node:assert/strict";
import { lstat, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Flag, Sidecar } from "../../format/index.ts";
import { toByteString, showBytes } from "../../src/bytes.ts";
import { openStore, Registry, type Image } from "../../src/index.ts";
import { pushLayout, startDockerRegistry, type DockerRegistry } from "../support/docker-registry.ts";
import { ensureImages } from "../support/ensure-images.ts";
import { compareTrees, manifestOfTree, type TreeEntry } from "../support/manifest-of-tree.ts";
import { mountOverlay } from "../support/overlay-mount.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";
import { umociUnpack } from "../support/umoci-unpack.ts";

let registry: DockerRegistry;
let directory: TemporaryDirectory;
let expected: TreeEntry[];
let diffIds: string[];
const references: Record<"gzip" | "zstd", string> = { gzip: "", zstd: "" };

before(async () => {
  registry = await startDockerRegistry();
  directory = await temporaryDirectory();
  const { layout } = await ensureImages();
  const from = { directory: layout, tag: "full" };
  references.gzip = await pushLayout(from, registry, { repository: "tests/debian", tag: "gzip" });
  const zstd = ["--dest-compress", "--dest-compress-format", "zstd"];
  references.zstd = await pushLayout(from, registry, { repository: "tests/zstd", tag: "zstd" }, { extraArguments: zstd });
  expected = await manifestOfTree(await umociUnpack(layout, "full", join(directory.path, "bundle")));
  const config = JSON.parse((await run("skopeo", ["inspect", "--config", `oci:${layout}:full`])).toString()) as {
    rootfs: { diff_ids: string[] };
  };
  diffIds = config.rootfs.diff_ids;
});

after(async () => {
  await registry[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

for (const compression of ["gzip", "zstd"] as const) {
  test(`Registry.pull() gives layers that the kernel merges to what umoci unpacks (${compression})`, async () => {
    await using pulled = await pull(compression, compression);
    assert.equal(pulled.image.layers.length, 3);
    await using merged = await mountOverlay(pulled.image.layers);
    const actual = await manifestOfTree(merged.root);
    // A tree is shared by images, so a directory that its layer only implies cannot have the time that one image's lower
    // layer gives it: such directories have the time 0 where the topmost layer that has them implies them, and nothing else differs.
    const implied = await impliedDirectories(join(directory.path, compression));
    const allowed = [...implied].map((path) => `${path}: mtime is "0.000000000"`);
    const differences = compareTrees(actual, expected);
    assert.deepEqual(
      differences.filter((line) => !allowed.includes(line.slice(0, line.lastIndexOf(", not ")))),
      [],
    );
    assert.deepEqual(
      actual.filter(({ path, mtime }) => implied.has(path) && mtime !== "0.000000000").map(({ path }) => path),
      [],
    );
    assert.ok(differences.length <= implied.size && implied.size < 200);
  });
}

test("Registry.pull() gives the same trees from gzip and zstd blobs, ingested once", async () => {
  await using pulled = await pull("both", "gzip");
  await using again = await pull("both", "zstd");
  assert.deepEqual(again.image.layers, pulled.image.layers);
  assert.equal(again.image.stats.ingestedLayers, 0);
});

test("A mounted image is a root file system that programs run in", async () => {
  await using pulled = await pull("gzip", "gzip");
  await using merged = await mountOverlay(pulled.image.layers);
  assert.match((await run("chroot", [merged.root, "/bin/sh", "-c", "id && ls -l / && perl -v || true"])).toString(), /^uid=0\(root\)/);
  const script = 'id; python3 -c "import sys; print(list(sys.version_info[:2]))"; cat /opt/shale/same-as-in-the-base';
  const said = await run("bwrap", ["--ro-bind", merged.root, "/", "--unshare-all", "/bin/sh", "-c", script]);
  assert.match(said.toString(), /^uid=0\(root\)[^]*\[3, \d+\][^]*\d/);
});

for (const index of [false, true]) {
  test(`Equal files of a mounted image stay different files for mv, cp and tar (index=${index ? "on" : "off"})`, async () => {
    await using pulled = await pull("gzip", "gzip");
    await using merged = await mountOverlay(pulled.image.layers, { writable: true, index });
    const inRoot = { cwd: merged.root };
    const [lower, upper, deep] = ["etc/debian_version", "opt/shale/same-as-in-the-base", "opt/shale/deep/same-again"];
    const inodes = await Promise.all([lower, upper, deep].map(async (path) => (await lstat(join(merged.root, path))).ino));
    assert.equal(new Set(inodes).size, 3);
    assert.deepEqual(await hardLinks(merged.root, ["etc", "opt"]), ["opt/shale/first", "opt/shale/second"]);
    await run("sh", ["-c", `echo changed >>${upper}`], inRoot);
    assert.doesNotMatch(await readFile(join(merged.root, lower), "utf8"), /changed/);
    assert.doesNotMatch(await readFile(join(merged.root, deep), "utf8"), /changed/);
    await run("cp", [lower, deep], inRoot);
    await run("mv", [deep, lower], inRoot);
    await assert.rejects(lstat(join(merged.root, deep)));
    const equal = expected.filter(({ type, size }) => type === "file" && size > 0);
    const groups = Map.groupBy(equal, ({ sha256, mode, mtime }) => `${sha256} ${mode} ${mtime}`);
    const twins = [...groups.values()].filter((group) => group.length > 1 && group.every(({ linkedWith }) => linkedWith === undefined));
    for (const [a, b] of twins.slice(0, 50) as [TreeEntry, TreeEntry][]) {
      if (a.path === lower || b.path === lower) continue;
      await run("cp", ["-p", a.path, b.path], inRoot);
      await run("mv", [b.path, a.path], inRoot);
    }
    assert.ok(twins.length > 1);
  });
}

test("Real hard links of the image stay hard links", async () => {
  await using pulled = await pull("gzip", "gzip");
  const [top] = pulled.image.layers.slice(-1);
  const stats = await Promise.all(["first", "second", "deep/third"].map((name) => lstat(join(top!, "opt/shale", name))));
  assert.equal(new Set(stats.map(({ ino }) => ino)).size, 1);
});

interface Pulled extends AsyncDisposable {
  readonly image: Image;
}

async function pull(name: string, compression: "gzip" | "zstd"): Promise<Pulled> {
  const store = await openStore(join(directory.path, name), { profile: "overlay" });
  const client = new Registry({ store, plainHttp: [registry.host] });
  const image = await client.pull(references[compression]);
  const dispose = async (): Promise<void> => {
    await image.close();
    await client.close();
    await store.close();
  };
  return { image, [Symbol.asyncDispose]: dispose };
}

/** Directories that the topmost layer which has them implies, as manifestOfTree spells them. */
async function impliedDirectories(store: string): Promise<Set<string>> {
  const implied = new Map<string, boolean>();
  for (const diffId of diffIds) {
    const sidecar = await Sidecar.openFile(join(store, "layers", diffId.replace(":", "-"), "sidecar"));
    for (const { path, flags } of sidecar.entriesInPathOrder()) {
      const shown = path === "" ? "." : showBytes(toByteString(Buffer.from(path, "latin1")));
      implied.set(shown, (flags & Flag.implicit) !== 0);
    }
    sidecar.close();
  }
  return new Set([...implied].filter(([, is]) => is).map(([path]) => path));
}

/** What GNU tar records as a link to an earlier member. */
async function hardLinks(root: string, paths: readonly string[]): Promise<string[]> {
  const listing = await run("sh", ["-c", `tar -C "$0" --sort=name -cf - "$@" | tar -tvf -`, root, ...paths]);
  const links = listing
    .toString()
    .split("\n")
    .filter((line) => line.startsWith("h"));
  return links.map((line) => line.replace(/ link to .*/, "").replace(/^(?:\S+\s+){5}/, ""));
}
