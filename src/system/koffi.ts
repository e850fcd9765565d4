/**
 * koffi's native part. koffi itself looks for it in many places, which takes longer than all that a cached pull does: so it is
 * loaded from the package in which koffi's own dependencies put it, and only if it is not there by koffi.
 */
import { createRequire } from "node:module";
import type Koffi from "koffi";

export const koffi: typeof Koffi = load();

function load(): typeof Koffi {
  const require = createRequire(import.meta.url);
  try {
    return createRequire(require.resolve("koffi"))(`@koromix/koffi-linux-${process.arch}`) as typeof Koffi;
  } catch {
    // built on this machine, or another way of packaging; what is really wrong, koffi tells
    return require("koffi") as typeof Koffi;
  }
}
