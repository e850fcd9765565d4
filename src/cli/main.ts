#!/usr/bin/env node
/** The `shale` program. What it runs is imported when the code that an earlier run compiled can be found. */
import { useCompiledCode } from "./compiled-code.ts";

/** `engines` of package.json. npm only warns of an older one, and that fails without a hint. */
const OLDEST = [22, 19] as const;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) {
  useCompiledCode(process.env);
  const { runProgram } = await import("./program.ts");
  await runProgram();
} else {
  const needed = OLDEST.join(".");
  process.stderr.write(
    `shale: this is Node.js ${process.versions.node}, and ${needed} or later is needed; put a later one first on the PATH\n`,
  );
  process.exitCode = 1;
}
