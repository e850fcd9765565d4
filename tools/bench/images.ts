/** The images that are pulled: built from Debian's packages, or made of such images; kept in .cache/bench until their recipe changes. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createGunzip } from "node:zlib";
import { ensureImages } from "../../test/support/ensure-images.ts";
import { run } from "../../test/support/run.ts";
import { PROJECT, readProjectFile } from "../project.ts";
import { blobPath, readLayers, type LayoutImage } from "./layout.ts";
import { allEntries, relayer, type Recipe } from "./relayer.ts";
import type { ImageFacts } from "./result.ts";

export const CACHE: string = join(PROJECT, ".cache/bench");

const BLOCK_BYTES = 4096;

interface Plan extends Partial<Recipe> {
  readonly what: string;
  /** Installed in the image `from`. */
  readonly packages?: readonly string[];
  readonly from?: string;
}

const PLANS: Readonly<Record<string, Plan>> = {
  base: { what: "Debian, minimal" },
  python: { what: "base; python3", from: "base", packages: ["python3", "python3-yaml", "ca-certificates"] },
  node: { what: "base; nodejs, npm and git", from: "base", packages: ["nodejs", "npm", "git"] },
  "base-2": { what: "the files of base in other layers", from: "base", layers: 2 },
  "python-2": { what: "the files of python in other layers", from: "python", layers: 3 },
  "node-2": { what: "the files of node in other layers", from: "node", layers: 3 },
  twelve: { what: "the files of node in twelve layers", from: "node", layers: 12 },
  big: { what: "the files of node three times, each with bytes of its own", from: "node", layers: 1, copies: ["a", "b", "c"] },
};

export const IMAGE_TAGS: readonly string[] = Object.keys(PLANS);

export interface BenchImage extends LayoutImage {
  readonly facts: ImageFacts;
}

export async function ensureImage(tag: string): Promise<BenchImage> {
  const plan = PLANS[tag];
  if (!plan) throw new RangeError(`take the image "${tag}": the images are ${IMAGE_TAGS.join(", ")}`);
  const image = plan.from === undefined ? { directory: (await ensureImages()).layout, tag } : await ensureMade(tag, plan);
  return { ...image, facts: await factsOf(image, plan.what) };
}

export interface UniqueBytes {
  readonly bytes: number;
  /** Each content in whole blocks of 4 KiB. */
  readonly inBlocks: number;
  /** The same of what cannot be one inode: other attributes, and equal files within a layer, count again. */
  readonly asInodes: number;
}

/** Of the distinct contents of all files of the images so far, for each image of the list. */
export async function uniqueBytes(images: readonly BenchImage[]): Promise<UniqueBytes[]> {
  const known = new Set<string>();
  let [bytes, inBlocks, asInodes] = [0, 0, 0];
  const sums: UniqueBytes[] = [];
  for (const image of images) {
    const seen = new Map<string, number>();
    for await (const { layer, entry } of allEntries(image)) {
      const hash = createHash("sha256");
      for await (const part of entry.content) hash.update(part);
      const id = hash.digest("hex");
      const { mode, uid, gid, mtime, pax, size } = entry.header;
      const file = JSON.stringify([id, mode, uid, gid, mtime, attributesIn(pax)]);
      const copies = (seen.get(`${layer} ${file}`) ?? 0) + 1;
      seen.set(`${layer} ${file}`, copies);
      const blocks = Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
      if (isNew(known, `${copies} ${file}`)) asInodes += blocks;
      if (!isNew(known, id)) continue;
      bytes += size;
      inBlocks += blocks;
    }
    sums.push({ bytes, inBlocks, asInodes });
  }
  return sums;
}

/** Of PAX records, what becomes an attribute of the file: xattrs, and a time with a fraction. */
function attributesIn(pax: unknown): [string, string][] {
  const records = Object.entries((pax ?? {}) as Record<string, string>);
  return records.filter(([key, value]) => key.startsWith("SCHILY.xattr.") || (key === "mtime" && value.includes(".")));
}

function isNew(known: Set<string>, id: string): boolean {
  return known.size < known.add(id).size;
}

async function ensureMade(tag: string, plan: Plan): Promise<LayoutImage> {
  const from = await ensureImage(plan.from!);
  const recipe = [await readProjectFile("tools/bench/package-image.sh"), await readProjectFile("tools/bench/relayer.ts")];
  const inputs = [plan.packages ? recipe[0] : recipe[1], JSON.stringify(plan), await readFile(join(from.directory, "index.json"), "utf8")];
  const key = createHash("sha256").update(inputs.join("\0")).digest("hex").slice(0, 16);
  const final = join(CACHE, "images", `${tag}-${key}`);
  const image = { directory: join(final, "layout"), tag };
  if (await exists(final)) return image;
  process.stderr.write(`making the image ${tag}: ${plan.what}\n`);
  await mkdir(dirname(final), { recursive: true });
  const staging = await mkdtemp(join(dirname(final), "staging-"));
  try {
    const made = { directory: join(staging, "layout"), tag };
    await make(made, from, plan);
    await rename(staging, final);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return image;
}

async function make(image: LayoutImage, from: LayoutImage, { packages, layers = 1, copies }: Plan): Promise<void> {
  if (!packages) return relayer(from, image, { layers, ...(copies && { copies }) });
  const script = join(PROJECT, "tools/bench/package-image.sh");
  await run("sh", [script, `${from.directory}:${from.tag}`, image.directory, image.tag, ...packages]);
}

/** Counted once: the layers are read for it. */
async function factsOf(image: LayoutImage, what: string): Promise<ImageFacts> {
  const layers = await readLayers(image);
  const key = createHash("sha256")
    .update(JSON.stringify([what, layers]))
    .digest("hex")
    .slice(0, 16);
  const file = join(CACHE, "facts", `${image.tag}-${key}.json`);
  if (await exists(file)) return JSON.parse(await readFile(file, "utf8")) as ImageFacts;
  let entries = 0;
  for await (const { entry } of allEntries(image)) {
    entry.content.resume();
    entries++;
  }
  let unpacked = 0;
  for (const { digest } of layers) unpacked += await unpackedBytes(blobPath(image, digest));
  const bytes = layers.reduce((sum, { size }) => sum + size, 0);
  const facts = { tag: image.tag, what, layers: layers.length, bytes, entries, unpacked };
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify(facts));
  return facts;
}

async function unpackedBytes(file: string): Promise<number> {
  let bytes = 0;
  for await (const part of createReadStream(file).pipe(createGunzip())) bytes += (part as Buffer).length;
  return bytes;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
