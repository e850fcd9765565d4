/** Kernel overlayfs over layer directories; needs root. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./run.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

export interface Mounted extends AsyncDisposable {
  /** Where the merged root file system is. */
  readonly root: string;
}

/** `layers` bottom to top. Writable: changes go to a directory of their own on a tmpfs and are gone when the scope ends. */
export async function mountOverlay(layers: readonly string[], options: { writable?: boolean; index?: boolean } = {}): Promise<Mounted> {
  const directory = await temporaryDirectory();
  const root = join(directory.path, "merged");
  await mkdir(root);
  const mounted: string[] = [];
  const lower = `lowerdir=${[...layers].reverse().join(":")},index=${options.index === true ? "on" : "off"}`;
  const unmount = async (): Promise<void> => {
    for (const path of mounted.reverse()) await run("umount", [path]);
    await directory[Symbol.asyncDispose]();
  };
  try {
    if (options.writable === true) {
      const scratch = join(directory.path, "scratch");
      await mkdir(scratch);
      await run("mount", ["-t", "tmpfs", "none", scratch]);
      mounted.push(scratch);
      await run("mkdir", [join(scratch, "upper"), join(scratch, "work")]);
      await run("mount", ["-t", "overlay", "overlay", "-o", `${lower},upperdir=${scratch}/upper,workdir=${scratch}/work`, root]);
    } else await run("mount", ["-t", "overlay", "overlay", "-o", `ro,${lower}`, root]);
    mounted.push(root);
  } catch (error) {
    await unmount();
    throw error;
  }
  return { root, [Symbol.asyncDispose]: unmount };
}
