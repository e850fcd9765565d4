/** An image as podman (containers/storage) unpacks it. */
import { join } from "node:path";
import { run } from "./run.ts";

export interface Unpacked extends AsyncDisposable {
  /** Its merged root file system, read-only. */
  readonly root: string;
}

/** Copies an image of an OCI layout into a storage of its own below `directory`, and mounts it there; needs root. */
export async function podmanUnpack(layout: string, tag: string, directory: string): Promise<Unpacked> {
  const [storage, state] = [join(directory, "root"), join(directory, "run")];
  const name = `localhost/tests/${tag}:latest`;
  const podman = async (...args: string[]): Promise<string> =>
    (await run("podman", ["--root", storage, "--runroot", state, "--storage-driver", "overlay", ...args])).toString().trim();
  const dispose = async (): Promise<void> => {
    await podman("image", "umount", "--all");
    // containers/storage keeps its directory mounted on itself
    await run("sh", ["-c", 'while umount "$0" 2>/dev/null; do :; done', join(storage, "overlay")]);
  };
  try {
    const to = `containers-storage:[overlay@${storage}+${state}]${name}`;
    await run("skopeo", ["copy", "--quiet", "--insecure-policy", `oci:${layout}:${tag}`, to]);
    return { root: await podman("image", "mount", name), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
