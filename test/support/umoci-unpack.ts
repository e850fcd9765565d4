import { join } from "node:path";
import { run } from "./run.ts";

/** Unpacks an image of an OCI layout with umoci below `destination` (a new directory); returns the root file system. */
export async function umociUnpack(layout: string, tag: string, destination: string): Promise<string> {
  await run("umoci", ["unpack", "--image", `${layout}:${tag}`, destination]);
  return join(destination, "rootfs");
}
