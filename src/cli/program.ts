/** Runs the command line of this process. */
import { isErrno } from "../errors.ts";
import { run } from "./run.ts";
import { showMessage } from "./show.ts";

export async function runProgram(): Promise<void> {
  const abort = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    // once: a second signal ends the process at once, as by default
    process.once(name, () => abort.abort(new Error(`interrupted by ${name}`)));
  }
  const output = { failed: false };
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: Error) => {
      // the reader has gone, as in `shale ls | head`: not an error
      if (isErrno(error, "EPIPE")) return;
      output.failed = true;
      process.exitCode = 1;
      if (stream === process.stdout)
        process.stderr.write(`shale: INTERNAL: standard output cannot be written: ${showMessage(error.message)}\n`);
    });
  }

  const exitCode = await run(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    get version(): string {
      const { readFileSync } = process.getBuiltinModule("node:fs");
      const manifest = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
      return (JSON.parse(manifest) as { version: string }).version;
    },
    signal: abort.signal,
    loadApi: () => import("../index.ts"),
    loadBoot: () => import("../boot.ts"),
  });
  if (!output.failed) process.exitCode = exitCode;
}
