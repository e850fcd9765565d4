/** Attaches strace to all threads of a running process, to make its system calls fail, kill it, or count them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

export interface Tracer {
  /** Detaches; the process continues normally. */
  detach(): Promise<void>;
}

/** `expressions` are options -e of strace. Resolves when strace is attached to every thread. */
export async function attach(pid: number, expressions: readonly string[], output = "/dev/null"): Promise<Tracer> {
  const options = expressions.flatMap((expression) => ["-e", expression]);
  const child = spawn("strace", ["-f", "-p", `${pid}`, "-o", output, ...options], { stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(child, "exit");
  let said = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (text: Buffer) => {
      said += text.toString();
      if (/Process \d+ attached/.test(said)) resolve();
    });
    exited.then(
      () => reject(new Error(`strace ended: ${said}`)),
      (error: unknown) => reject(error as Error),
    );
  });
  return {
    detach: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGINT");
      await exited;
    },
  };
}

/** Returns the most calls of each kind that one thread made: strace counts each thread separately. */
export function mostCalls(output: string): Map<string, number> {
  const counts = new Map<string, number>();
  const most = new Map<string, number>();
  for (const line of readFileSync(output, "utf8").split("\n")) {
    const [, thread = "", call = ""] = /^(\d+)\s+(\w+)\(/.exec(line) ?? [];
    if (call === "") continue;
    const count = (counts.get(`${thread} ${call}`) ?? 0) + 1;
    counts.set(`${thread} ${call}`, count);
    most.set(call, Math.max(most.get(call) ?? 0, count));
  }
  return most;
}
