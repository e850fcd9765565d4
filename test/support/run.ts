/** Other programs, run to their end. */
import { execFile } from "node:child_process";
import type { ExecFileOptions } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Its standard output, as bytes. @throws unless the program ends with 0; the error has its standard error. */
export async function run(program: string, args: readonly string[], options: ExecFileOptions = {}): Promise<Buffer> {
  const { stdout } = await execute(program, args, { maxBuffer: 1 << 30, ...options, encoding: "buffer" });
  return stdout;
}
