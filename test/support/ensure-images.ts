/** The real image that the integration tests pull. It is built once and kept in .cache/images until its recipe changes. */
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT, readProjectFile } from "../../tools/project.ts";
import { run } from "./run.ts";

const RECIPE = "test/fixtures/debian-image.sh";

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
  const images = join(PROJECT, ".cache/images");
  const final = join(images, await recipeHash());
  if (!(await exists(final))) {
    await mkdir(images, { recursive: true });
    await build(images, final);
  }
  return { layout: join(final, "layout"), tags: ["base", "packages", "full"] };
}

async function build(images: string, final: string): Promise<void> {
  const staging = await mkdtemp(join(images, "staging-"));
  try {
    await run("sh", [join(PROJECT, RECIPE), join(staging, "layout")]);
    await rename(staging, final);
  } catch (error) {
    if (!(await exists(final))) throw error;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function recipeHash(): Promise<string> {
  const release = await readFile("/etc/os-release", "utf8");
  const text = `${await readProjectFile(RECIPE)}\0${process.arch}\0${release}`;
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

if (import.meta.main) process.stderr.write(`images: ${(await ensureImages()).layout}\n`);
