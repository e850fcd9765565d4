/**
 * What a power cut may leave: files with their name, size, mode and time, and zeros for content. Copies that trees made for themselves
 * (further ordinals, inodes of another profile) are read in the next boot before they are used, once. Needs root: boot ids are mounted.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import {
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Profile } from "../../src/index.ts";
import { buildImage, buildLayer, startRegistry, type TestEntry, type TestRegistry } from "../../src/testing/index.ts";
import { Actor, type Order } from "../crash/actor.ts";
import { manifestOfTree, type TreeEntry } from "../support/manifest-of-tree.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";

const same = { content: "the same ".repeat(1000), mode: 0o755, mtime: 7 };
const LOWER: readonly TestEntry[] = [
  { path: "one", ...same },
  { path: "two", ...same },
  { path: "lib/alone", content: "alone".repeat(3000), uid: 3, mtime: 8 },
  { path: "lib/link", type: "symlink", target: "alone", mtime: 9 },
  { path: "lib/hard", type: "hardlink", target: "lib/alone" },
];
/** Its file takes an ordinal of its own from the image around it. */
const UPPER: readonly TestEntry[] = [
  { path: "three", ...same },
  { path: "lib/own", content: "own", mtime: 10 },
];

let registry: TestRegistry;
let temporary: TemporaryDirectory;
let reference: string;
let another: string;
let diffIds: readonly string[];

before(async () => {
  registry = await startRegistry();
  temporary = await temporaryDirectory();
  const layers = await Promise.all([LOWER, UPPER].map((entries) => buildLayer(entries)));
  diffIds = layers.map(({ diffId }) => diffId);
  reference = registry.push("boot/image", "latest", buildImage({ layers }));
  another = registry.push("boot/another", "latest", buildImage({ layers: [await buildLayer([{ path: "x", content: "x" }])] }));
});

after(async () => {
  await registry.close();
  await temporary[Symbol.asyncDispose]();
});

/** A store with the image in two profiles, left by an earlier boot. */
class Left {
  readonly store: string = join(temporary.path, randomUUID());
  /** Link sources that no layer has of itself. */
  copies: string[] = [];
  readonly expected = new Map<Profile, TreeEntry[][]>();
  #bootId = "";

  /** `settled`: `layers`: they reached the disk before any tree was made; `all`: the trees did, too. */
  static async by(settled: "nothing" | "layers" | "all"): Promise<Left> {
    const left = new Left();
    left.reboot();
    await left.obey({ kind: "pull", store: left.store, reference, options: { materialize: "lazy" } });
    if (settled === "layers") await left.settle();
    const native = new Set(left.sources());
    for (const profile of ["overlay", "oci"] as const) left.expected.set(profile, await left.pull(profile));
    left.copies = left.sources().filter((path) => !native.has(path));
    if (settled === "all") await left.settle();
    left.reboot();
    return left;
  }

  /** Each order by a process of its own. */
  async obey(order: Order): Promise<readonly string[]> {
    await using actor = await Actor.start({ bootId: this.#bootId });
    const { layers = [] } = await actor.get(order);
    await actor.get({ kind: "close", store: this.store });
    return layers;
  }

  reboot(): void {
    this.#bootId = join(temporary.path, randomUUID());
    writeFileSync(this.#bootId, `${randomUUID()}\n`);
  }

  /** A pull that fetches syncs what earlier ones left; nobody waits for that, and a process may end before. */
  async settle(): Promise<void> {
    for (let tries = 0; tries === 0 || !this.#isSettled(); tries++) {
      assert.ok(tries < 20);
      await this.obey({ kind: "pull", store: this.store, reference: another, options: { force: true, materialize: "lazy" } });
    }
  }

  #isSettled(): boolean {
    const [layers, trees] = [join(this.store, "layers"), join(this.store, "trees")];
    return (
      diffIds.every((id) => existsSync(join(layers, id.replace(":", "-"), "durable"))) &&
      readdirSync(trees).every((id) => readFileSync(join(this.store, `locks/tree-${id}`), "utf8").endsWith(" durable"))
    );
  }

  async pull(profile: Profile, pullPolicy: "never" | "if-missing" = "never"): Promise<TreeEntry[][]> {
    const layers = await this.obey({ kind: "pull", store: this.store, reference, options: { profile, pullPolicy } });
    return Promise.all(layers.map((tree) => manifestOfTree(tree)));
  }

  async check(profile: Profile, pullPolicy?: "never" | "if-missing"): Promise<void> {
    assert.deepEqual(await this.pull(profile, pullPolicy), this.expected.get(profile));
  }

  sources(): string[] {
    const chunks = join(this.store, "chunks");
    return readdirSync(chunks).flatMap((shard) => readdirSync(join(chunks, shard)).map((name) => join(chunks, shard, name)));
  }

  /** Link sources that were read in this boot because they were in doubt. */
  read(): string[] {
    const name = `verified-${readFileSync(this.#bootId, "utf8").trim()}`;
    const path = join(this.store, "staging", name);
    return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
  }

  dropTrees(): void {
    for (const tree of readdirSync(join(this.store, "trees"))) rmSync(join(this.store, "trees", tree), { recursive: true });
  }
}

/** Zeros, and nothing else changes. */
function blank(path: string): void {
  const { size, atime, mtime } = lstatSync(path);
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.alloc(size));
  closeSync(fd);
  utimesSync(path, atime, mtime);
}

for (const settled of ["nothing", "layers"] as const) {
  const before = settled === "layers" ? "long after their layers reached the disk" : "with their layers";

  test(`A power cut blanks copies that were made ${before}: trees are made again with their content`, async () => {
    const left = await Left.by(settled);
    assert.ok(left.copies.some((path) => path.endsWith(".1")) && left.copies.some((path) => path.endsWith(".2")));
    left.copies.forEach(blank);
    await left.check("overlay");
    await left.check("oci");
  });

  test(`A power cut blanks copies that were made ${before}: new trees do not link them, nor copy them`, async () => {
    const left = await Left.by(settled);
    left.copies.forEach(blank);
    for (const path of left.copies) if (path.endsWith(".1")) rmSync(path);
    left.dropTrees();
    await left.check("oci");
    await left.check("overlay");
  });

  test(`Copies that were made ${before} and survived a power cut are read once, and their trees kept`, async () => {
    const left = await Left.by(settled);
    const trees = readdirSync(join(left.store, "trees")).map((tree) => lstatSync(join(left.store, "trees", tree)).ino);
    for (const profile of ["overlay", "oci", "overlay", "oci"] as const) await left.check(profile);
    assert.deepEqual(
      readdirSync(join(left.store, "trees")).map((tree) => lstatSync(join(left.store, "trees", tree)).ino),
      trees,
    );
    const read = left.read();
    assert.deepEqual(read.toSorted(), left.copies.map((path) => path.slice(join(left.store, "chunks/").length)).toSorted());
    left.dropTrees();
    for (const profile of ["overlay", "oci"] as const) await left.check(profile);
    assert.deepEqual(left.read(), read);
  });
}

test("A lazy pull from the registry is no proof of trees that an earlier boot left", async () => {
  const left = await Left.by("layers");
  left.copies.forEach(blank);
  await left.obey({ kind: "pull", store: left.store, reference, options: { pullPolicy: "always", materialize: "lazy" } });
  await left.check("overlay");
});

test("A root file system of links has no copies that a power cut blanked", async () => {
  const left = await Left.by("layers");
  left.copies.forEach(blank);
  const destination = `${left.store}-rootfs`;
  await left.obey({ kind: "rootfs", store: left.store, reference, destination });
  for (const name of ["one", "two", "three"]) assert.equal(readFileSync(join(destination, name), "utf8"), same.content);
});

test("A symlink that is kept as a file, blanked by a power cut, is made again", async () => {
  const left = await Left.by("nothing");
  const [tree] = readdirSync(join(left.store, "trees"))
    .map((id) => join(left.store, "trees", id, "lib/link"))
    .filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isFile());
  blank(tree!);
  await left.check("oci");
});

test("Trees that had reached the disk are not read in the next boot, nor in the one after", async () => {
  const left = await Left.by("all");
  for (let boot = 0; boot < 2; boot++) {
    for (const profile of ["overlay", "oci"] as const) await left.check(profile);
    assert.deepEqual(left.read(), []);
    left.reboot();
  }
});

test("Trees that were read after a power cut are not read again in the boots that follow", async () => {
  const left = await Left.by("nothing");
  for (const profile of ["overlay", "oci"] as const) await left.check(profile);
  assert.notDeepEqual(left.read(), []);
  left.reboot();
  for (const profile of ["overlay", "oci"] as const) await left.check(profile);
  assert.deepEqual(left.read(), []);
});

test("A chunk that was replaced after its layer reached the disk is read in the next boot, and fetched again when it is wrong", async () => {
  const left = await Left.by("all");
  left.reboot();
  const [native] = left.sources().filter((path) => !left.copies.includes(path) && lstatSync(path).size === 15_000);
  blank(native!);
  await left.obey({ kind: "pull", store: left.store, reference, options: { force: true } });
  await left.check("overlay");
  blank(native!);
  left.reboot();
  await left.check("overlay", "if-missing");
});
