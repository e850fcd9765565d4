/** The real images that the integration tests pull. They are built once and kept in .cache/images until their recipe changes. */
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT, readProjectFile } from "../../tools/project.ts";
import { run } from "./run.ts";

const RECIPE = "test/fixtures/debian-image.sh";
const REAL_RECIPE = "test/fixtures/real-images.sh";

export const REAL_TAGS = ["minbase", "python", "node", "perl", "locale", "special"] as const;

export interface TestImages {
  /** An OCI image layout with the tags below; read-only. */
  readonly layout: string;
  readonly tags: readonly ["base", "packages", "full"];
}

/**
 * Builds what is not there yet: half a minute, as root, from the machine's own apt sources. Two processes may build at
 * the same time; one result stays.
 */
export async function ensureImages(): Promise<TestImages> {
  return { layout: await ensureLayout(RECIPE), tags: ["base", "packages", "full"] };
}

/** The layout of the images REAL_TAGS, as `ensureImages` makes its own: some minutes, once. */
export function ensureRealImages(): Promise<string> {
  return ensureLayout(REAL_RECIPE);
}

async function ensureLayout(recipe: string): Promise<string> {
  const images = join(PROJECT, ".cache/images");
  const final = join(images, await recipeHash(recipe));
  if (!(await exists(final))) {
    await mkdir(images, { recursive: true });
    await build(recipe, images, final);
  }
  return join(final, "layout");
}

async function build(recipe: string, images: string, final: string): Promise<void> {
  const staging = await mkdtemp(join(images, "staging-"));
  try {
    await run("sh", [join(PROJECT, recipe), join(staging, "layout")]);
    await rename(staging, final);
  } catch (error) {
    if (!(await exists(final))) throw error;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function recipeHash(recipe: string): Promise<string> {
  const release = await readFile("/etc/os-release", "utf8");
  const text = `${await readProjectFile(recipe)}\0${process.arch}\0${release}`;
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

if (import.meta.main) process.stderr.write(`images: ${(await ensureImages()).layout}\n`);
