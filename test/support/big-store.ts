/** A store with many images and files, pulled from layouts that are made one after the other and thrown away. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openStore, Registry, type Image, type Store } from "../../src/index.ts";
import { buildImage, layerFromTar, writeLayout, type TestLayer } from "../../src/testing/index.ts";
import { END, rawHeader } from "../tar/raw-header.ts";

export interface BigStore {
  readonly images: number;
  /** Distinct files in chunks/. */
  readonly chunks: number;
}

/** Layers that images share. */
const BASES = 10;
const BASE_FILES = 4000;

/** Pulls images `from` to `to` (not included) of the big store; resolves with what each pull took, in milliseconds. */
export async function growStore(path: string, { images, chunks }: BigStore, { from, to }: { from: number; to: number }): Promise<number[]> {
  await using store = await openStore(path, { profile: "overlay" });
  await using registry = new Registry({ store });
  const own = Math.round((chunks - BASES * BASE_FILES) / images);
  const times: number[] = [];
  let next = from;
  const puller = async (): Promise<void> => {
    for (let number = next++; number < to; number = next++) {
      const image = await pullSynthetic({ store, registry }, `${path}-layout`, { name: `image-${number}`, layers: layersOf(number, own) });
      times.push(image.stats.durationMs);
      await image.close();
    }
  };
  await Promise.all([1, 2, 3].map(puller));
  return times;
}

/** Pulls one image of given layers; its trees are not made. */
export async function pullSynthetic(
  { registry }: { readonly store: Store; readonly registry: Registry },
  layout: string,
  { name, layers }: { name: string; layers: readonly TestLayer[] },
): Promise<Image> {
  mkdirSync(layout, { recursive: true });
  const directory = join(layout, name);
  await writeLayout(directory, { latest: buildImage({ layers }) });
  try {
    return await registry.pull(`oci:${directory}:latest`, { materialize: "lazy" });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The shared base, and files of the image's own. */
export function layersOf(number: number, own: number): TestLayer[] {
  return [syntheticLayer(`base-${number % BASES}`, BASE_FILES), syntheticLayer(`own-${number}`, own)];
}

/** A layer of so many small files, each with a content that no other layer has. */
export function syntheticLayer(name: string, files: number): TestLayer {
  const blocks: Buffer[] = [];
  for (let file = 0; file < files; file++) {
    if (file % 200 === 0) blocks.push(rawHeader({ name: `${name}-${file / 200}/`, typeflag: "5", mode: 0o755 }));
    const content = Buffer.alloc(512);
    const size = content.write(`${name} ${file}`);
    blocks.push(rawHeader({ name: `${name}-${Math.floor(file / 200)}/${file}`, size }), content);
  }
  return layerFromTar(Buffer.concat([...blocks, END]), { compression: "none" });
}
