#!/usr/bin/env node
/** The `shale` program. Imports the rest after the compile cache is enabled. */
import { useCompiledCode } from "./compiled-code.ts";

/** As `engines` in package.json: npm only warns about an older Node, which would fail without a clear message. */
const OLDEST = [22, 19] as const;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) {
  useCompiledCode(process.env);
  const { runProgram } = await import("./program.ts");
  await runProgram();
} else {
  const needed = OLDEST.join(".");
  process.stderr.write(
    `shale: requires Node.js ${needed} or later, but this is ${process.versions.node}; put a later Node.js first in PATH\n`,
  );
  process.exitCode = 1;
}
