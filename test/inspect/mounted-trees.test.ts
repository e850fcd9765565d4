import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { mountOverlay, openStore, Registry, type OverlayMount, type Store } from "../../src/index.ts";
import { mountedTrees } from "../../src/inspect/mounted-trees.ts";
import type { TreeId } from "../../src/store/ids.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { buildImage, buildLayer, writeLayout } from "../../src/testing/index.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ALL = { keepYoungerMs: 0, trees: true } as const;

interface Fixture extends AsyncDisposable {
  readonly store: Store;
  /** The only image. */
  readonly reference: string;
  readonly layout: StoreLayout;
  /** Its trees, bottom to top. */
  readonly trees: readonly string[];
  /** Where to mount. */
  readonly target: string;
  readonly directory: string;
}

/** Makes a store in a directory with this name, with an image of two layers. */
async function fixture(name = "plain"): Promise<Fixture> {
  const temporary = await temporaryDirectory();
  const target = join(temporary.path, "target");
  mkdirSync(target);
  // trees that no other test has: an overlay shows only the names of its trees
  const layers = [
    await buildLayer([{ path: "bin/tool", content: `tool ${randomUUID()}` }]),
    await buildLayer([{ path: "etc/motd", content: randomUUID() }]),
  ];
  await writeLayout(join(temporary.path, "layout"), { app: buildImage({ layers }) });
  const reference = `oci:${join(temporary.path, "layout")}:app`;
  const store = await openStore(join(temporary.path, name));
  await using registry = new Registry({ store });
  await using image = await registry.pull(reference);
  return {
    store,
    reference,
    layout: new StoreLayout(store.path),
    trees: image.layers,
    target,
    directory: temporary.path,
    [Symbol.asyncDispose]: async () => {
      await store.close();
      await temporary[Symbol.asyncDispose]();
    },
  };
}

/** The fixture's trees that are mounted, sorted. The machine may have mounts of other stores. */
function mountedOf({ layout, trees }: Fixture): string[] {
  const own = trees.map((tree) => basename(tree));
  return [...mountedTrees(layout)].filter((id) => own.includes(id)).sort();
}

/** Removes the only reference and collects everything that nothing keeps. */
async function collectAll({ store, reference }: Fixture): Promise<void> {
  await store.remove(reference);
  await store.gc(ALL);
}

async function mountImage({ store, reference, target }: Fixture): Promise<OverlayMount> {
  await using image = await store.image(reference);
  return await mountOverlay(image!, target);
}

/** Runs a script as a process that stays in its own mount namespace until the result is disposed of. */
async function inNamespace(command: readonly string[], script: string): Promise<AsyncDisposable> {
  const child = spawn("env", [...command, "sh", "-ec", `${script}; echo ready; read end`], { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  assert.equal(line, "ready");
  return {
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, "exit");
      child.stdin.end();
      await ended;
    },
  };
}

const AS_OTHER_USER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare", "-Urm"] as const;

for (const [what, name] of [
  ["a space, a comma, a backslash and a line feed", "a b,c\\d\ne"],
  ["bytes that are not ASCII", "d\u00e9j\u00e0 vu"],
  ["more than 255 bytes", `${"x".repeat(200)}/${"y".repeat(200)}`],
] as const) {
  test(`\`gc()\` keeps the trees of a mounted image in a store whose path has ${what}`, async () => {
    await using own = await fixture(name);
    await using mount = await mountImage(own);
    assert.deepEqual(mountedOf(own), own.trees.map((tree) => basename(tree)).sort());
    await collectAll(own);
    assert.match(readFileSync(join(own.target, "bin/tool"), "utf8"), /^tool /);
    await mount.unmount();
    await own.store.gc(ALL);
    assert.deepEqual(readdirSync(own.layout.trees), []);
  });
}

test("`mountedTrees()` finds bind mounts of a tree and of a directory in it, in other namespaces too, and after the tree was moved", async () => {
  await using own = await fixture("a b");
  const [bottom = "", top = ""] = own.trees;
  const script = `mount --bind '${bottom}/bin' '${own.target}'`;
  await using _ = await inNamespace(["unshare", "-m"], script);
  await run("mount", ["--bind", top, own.target]);
  try {
    assert.deepEqual(mountedOf(own), [basename(bottom), basename(top)].sort());
    const moved = join(own.layout.staging, `replaced-${basename(top)}-0123abcd`);
    renameSync(top, moved);
    assert.deepEqual(mountedOf(own), [basename(bottom), basename(top)].sort());
    await own.store.gc(ALL);
    assert.ok(existsSync(join(moved, "etc/motd")), "the moved tree is kept while it is mounted");
  } finally {
    await run("umount", [own.target]);
  }
  assert.deepEqual(mountedOf(own), [basename(bottom)]);
});

test("`mountedTrees()` finds trees of a store that is the root of its file system", async () => {
  await using temporary = await temporaryDirectory();
  const [path, target] = [join(temporary.path, "disk"), join(temporary.path, "target")];
  for (const directory of [path, target]) mkdirSync(directory, { mode: 0o700 });
  await run("mount", ["-t", "tmpfs", "-o", "mode=0700", "none", path]);
  try {
    const layout = new StoreLayout(path);
    const id = "a".repeat(26) as TreeId;
    mkdirSync(layout.tree(id), { recursive: true });
    mkdirSync(layout.staging);
    await run("mount", ["--bind", layout.tree(id), target]);
    assert.ok(mountedTrees(layout).has(id));
    await run("umount", [target]);
  } finally {
    await run("umount", [path]);
  }
});

test("`gc()` ignores mounts that another user made in a user namespace to look like mounted trees", async () => {
  await using own = await fixture();
  const [bottom = "", top = ""] = own.trees.map((tree) => basename(tree));
  const theirs = join(own.directory, "theirs");
  mkdirSync(theirs, { mode: 0o777 });
  for (const path of [own.directory, theirs]) chmodSync(path, 0o777);
  const script = [
    `cd '${theirs}'`,
    "mount -t tmpfs none .",
    `cd '${theirs}'`,
    `mkdir -p plain/trees/${bottom} plain/trees/${top} merged`,
    `mount --bind plain/trees/${bottom} plain/trees/${bottom}`,
    `mount -t overlay -o lowerdir=${theirs}/plain/trees/${bottom}:${theirs}/plain/trees/${top} none merged`,
  ].join("; ");
  await using _ = await inNamespace(AS_OTHER_USER, script);
  assert.deepEqual(mountedOf(own), []);
  await collectAll(own);
  assert.deepEqual(readdirSync(own.layout.trees), []);
});

test("`mountedTrees()` counts an overlay in a user namespace of the store's owner", async () => {
  await using own = await fixture();
  const script = `mount -t overlay -o 'lowerdir=${own.trees.toReversed().join(":")}' none '${own.target}'`;
  await using _ = await inNamespace(["unshare", "-Urm"], script);
  assert.deepEqual(mountedOf(own), own.trees.map((tree) => basename(tree)).sort());
});
