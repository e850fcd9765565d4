/**
 * Loads koffi's native part directly from the package that koffi's dependencies install it in. koffi itself searches many paths, which takes
 * longer than a cached pull; it is used only as a fallback.
 */
import { createRequire } from "node:module";
import type Koffi from "koffi";

export const koffi: typeof Koffi = load();

function load(): typeof Koffi {
  const require = createRequire(import.meta.url);
  try {
    return createRequire(require.resolve("koffi"))(`@koromix/koffi-linux-${process.arch}`) as typeof Koffi;
  } catch {
    // built on this machine or packaged differently: koffi finds it, or reports the real problem
    return require("koffi") as typeof Koffi;
  }
}
