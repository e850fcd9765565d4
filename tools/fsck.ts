#!/usr/bin/env node
/** `shale fsck` as a program of its own: docs/fsck.md. */
import { fsckProgram } from "../src/cli/fsck.ts";

const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => interrupted.abort(new Error(`ended by ${name}`)));
process.exitCode = await fsckProgram(process.argv.slice(2), interrupted.signal);
