#!/usr/bin/env node
/** `shale dump-index` as a program of its own: docs/dump-index.md. */
import { dumpIndexProgram } from "../src/cli/dump-index.ts";
import { isErrno } from "../src/errors.ts";

process.stdout.on("error", (error) => {
  if (!isErrno(error, "EPIPE")) throw error;
});
process.exitCode = await dumpIndexProgram(process.argv.slice(2));
