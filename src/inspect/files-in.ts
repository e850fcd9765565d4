import { statSync } from "node:fs";
import { join } from "node:path";
import { namesIn } from "../system/names-in.ts";

/** How many files a directory has, and the bytes of their content; none when it is not there. */
export function filesIn(directory: string): { count: number; bytes: number } {
  const sizes = namesIn(directory).map((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0);
  return { count: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}
