/** The peer written in Rust: the crate microsandbox-image from crates.io, driven by tools/bench/crate. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../test/support/run.ts";
import { PROJECT } from "../project.ts";
import { CACHE } from "./images.ts";
import { isOnPath } from "./processes.ts";

export interface CrateProgram {
  readonly program?: string;
  /** Why there is none. */
  readonly missing?: string;
}

/** Built once by cargo, from the committed Cargo.lock: minutes the first time. */
export async function buildCrate(): Promise<CrateProgram> {
  if (!isOnPath("cargo")) return { missing: "cargo is not there" };
  const target = join(CACHE, "cargo");
  const manifest = join(PROJECT, "tools/bench/crate/Cargo.toml");
  const program = join(target, "release/bench-peer");
  if (!existsSync(program)) process.stderr.write("building microsandbox-image with cargo\n");
  try {
    await run("cargo", ["build", "--release", "--locked", "--quiet", "--manifest-path", manifest, "--target-dir", target]);
    return { program };
  } catch (error) {
    return { missing: `cargo build failed: ${String((error as { stderr?: Buffer }).stderr ?? error).slice(0, 300)}` };
  }
}
