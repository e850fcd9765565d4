/** The fixtures of the crash tests: a registry, small overlapping images, and the expected content of their trees. */
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import {
  buildImage,
  buildLayer,
  layerFromTar,
  startRegistry,
  type TestEntry,
  type TestLayer,
  type TestRegistry,
} from "../../src/testing/index.ts";
import type { Profile } from "../../src/index.ts";
import { compareTrees, manifestOfTree, type TreeEntry } from "../support/manifest-of-tree.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";
import { Actor } from "./actor.ts";
import { Random } from "./random.ts";

export type ImageName = "keep" | "target" | "other";

export interface WorldImage {
  readonly reference: string;
  readonly layers: readonly TestLayer[];
  /** Expected content of the trees, bottom to top, by profile. */
  readonly trees: Readonly<Record<Profile, readonly (readonly TreeEntry[])[]>>;
}

/** `keep` stays in every store. `target` is pulled, materialized and removed. `other` shares a layer with it and is pulled and removed meanwhile. */
export class World implements AsyncDisposable {
  readonly registry: TestRegistry;
  readonly images: Readonly<Record<ImageName, WorldImage>>;
  /** Directory for files of the tests; removed at the end. */
  readonly directory: string;
  readonly #temporary: TemporaryDirectory;

  private constructor(registry: TestRegistry, temporary: TemporaryDirectory, images: Readonly<Record<ImageName, WorldImage>>) {
    this.registry = registry;
    this.images = images;
    this.directory = temporary.path;
    this.#temporary = temporary;
  }

  static async create(): Promise<World> {
    const temporary = await temporaryDirectory();
    const registry = await startRegistry();
    const layers = await buildLayers(temporary.path);
    await using actor = await Actor.start();
    const store = join(temporary.path, "model");
    const images: Partial<Record<ImageName, WorldImage>> = {};
    for (const name of ["keep", "target", "other"] as const) {
      const reference = registry.push(`crash/${name}`, "latest", buildImage({ layers: layers[name] }));
      const trees: Partial<Record<Profile, TreeEntry[][]>> = {};
      for (const profile of ["overlay", "userxattr", "oci"] as const) {
        const pulled = await actor.get({ kind: "pull", store, reference, options: { profile } });
        trees[profile] = await Promise.all(pulled.layers!.map((tree) => treeManifest(tree)));
      }
      images[name] = { reference, layers: layers[name], trees: trees as WorldImage["trees"] };
    }
    await actor.get({ kind: "close", store });
    return new World(registry, temporary, images as Record<ImageName, WorldImage>);
  }

  /** Returns the differences between the trees of a pulled image and the expected content. */
  async compare(name: ImageName, trees: readonly string[], profile: Profile = "overlay"): Promise<string[]> {
    const expected = this.images[name].trees[profile];
    if (trees.length !== expected.length) return [`${name}: ${trees.length} trees`];
    const actual = await Promise.all(trees.map((tree) => treeManifest(tree)));
    return actual.flatMap((tree, index) => compareTrees(tree, expected[index]!).map((line) => `${name}[${index}] ${profile} ${line}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry.close();
    await this.#temporary[Symbol.asyncDispose]();
  }
}

/** Ignores the mtime of whiteouts, which is the time when they were made. */
async function treeManifest(tree: string): Promise<TreeEntry[]> {
  const entries = await manifestOfTree(tree);
  const isMarker = ({ type, device, path }: TreeEntry): boolean =>
    (type === "char" && device === "0:0") || basename(path).startsWith(".wh.");
  return entries.map((entry) => (isMarker(entry) ? { ...entry, mtime: "" } : entry));
}

async function buildLayers(directory: string): Promise<Record<ImageName, readonly TestLayer[]>> {
  const base = await buildLayer([
    { path: "bin", type: "directory", mtime: 11 },
    { path: "bin/tool", content: text("tool", 40_000), mode: 0o4755, uid: 3, mtime: 12 },
    { path: "bin/alias", type: "hardlink", target: "bin/tool" },
    { path: "bin/link", type: "symlink", target: "tool" },
    { path: "etc", type: "directory", mode: 0o750, gid: 5, mtime: 13 },
    { path: "etc/empty", mtime: 14 },
    { path: "run/pipe", type: "fifo", mtime: 15 },
    { path: "big", content: new Random("big").bytes(900_000), mtime: 16 },
    ...files("base", 60),
  ]);
  const shared = await buildLayer(
    [...files("shared", 40), { path: "usr/note", content: "noted", xattrs: { "user.note": "yes" }, mtime: 21 }],
    {
      compression: "zstd",
    },
  );
  const top = await buildLayer([
    { path: "etc/.wh.empty", mtime: 31 },
    { path: "base/.wh..wh..opq", mtime: 32 },
    { path: "same/one", content: text("same", 9000), mtime: 33 },
    { path: "same/two", content: text("same", 9000), mtime: 33 },
    ...files("base", 50, "again"),
    ...files("top", 120),
  ]);
  const kept = await buildLayer([...files("base", 20), ...files("kept", 40), { path: "etc/kept", content: "kept", mtime: 41 }]);
  const small = await buildLayer([...files("other", 30), ...files("shared", 10)], { compression: "none" });
  const sparse = await sparseLayer(join(directory, "sparse"));
  return { keep: [base, kept], target: [base, shared, sparse, top], other: [small, shared] };
}

/** Files that are equal in all layers that have them, except for `variant`. */
function files(group: string, count: number, variant = ""): TestEntry[] {
  return Array.from({ length: count }, (_, index) => ({
    path: `${group}/${index % 7}/file-${index}`,
    content: text(`${group} ${index} ${index % 3 === 0 ? variant : ""}`, 200 + ((index * 997) % 12_000)),
    mode: index % 5 === 0 ? 0o755 : 0o644,
    mtime: 1000 + index,
  }));
}

function text(seed: string, length: number): Buffer {
  return Buffer.from(
    new Random(seed)
      .bytes(Math.ceil(length / 2))
      .toString("hex")
      .slice(0, length),
  );
}

/** Files with data, followed by a hole up to the end. */
async function sparseLayer(source: string): Promise<TestLayer> {
  await mkdir(join(source, "sparse"), { recursive: true });
  for (let index = 0; index < 6; index++) {
    const path = join(source, "sparse", `file-${index}`);
    await writeFile(path, text(`sparse ${index}`, 5000 + index * 3000));
    await truncate(path, 300_000 + index);
  }
  const fixed = ["--sort=name", "--mtime=@1700000000", "--owner=0", "--group=0", "--numeric-owner"];
  return layerFromTar(await run("tar", ["-C", source, "--sparse", "--format=gnu", ...fixed, "-cf", "-", "sparse"]));
}

/** The directory for the stores of the tests: on disk, not in memory. */
export const SCRATCH: string = tmpdir();
