#!/usr/bin/env node
/** The `shale` program. What it runs is imported when the code that an earlier run compiled can be found. */
import { useCompiledCode } from "./compiled-code.ts";

useCompiledCode(process.env);
const { runProgram } = await import("./program.ts");
await runProgram();
