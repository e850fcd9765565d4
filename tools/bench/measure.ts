/** Runs a command and measures all that it costs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { run } from "../../test/support/run.ts";
import { measureDisk } from "./disk.ts";
import { parseWritten, PeakRss, processCpu, processWritten } from "./processes.ts";
import { untilWritten } from "./quiet.ts";
import type { Sample } from "./result.ts";

export interface Command {
  /** For bash; its standard output is dropped. */
  readonly script: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Everything that it makes is below; measured as it is afterwards. */
  readonly directory: string;
  /** A daemon that works for it: its time, memory and writes count. */
  readonly daemon?: number | undefined;
  /** Processes that serve it. */
  readonly registries: readonly number[];
}

const MESSAGE_CHARACTERS = 400;

/** @throws when the command fails, with what it said */
export async function measure(command: Command): Promise<Sample> {
  const { daemon, directory, registries } = command;
  await untilWritten();
  const daemonBefore = daemon === undefined ? undefined : { cpu: processCpu(daemon), io: processWritten(daemon) };
  const registryBefore = totalCpu(registries);
  const own = await runShell(command);
  const registryCpu = totalCpu(registries) - registryBefore;
  const used = { cpu: own.cpu, written: own.written, cancelled: own.cancelled };
  if (daemon !== undefined && daemonBefore) {
    const { written, cancelled } = processWritten(daemon);
    used.cpu += processCpu(daemon) - daemonBefore.cpu;
    used.written += written - daemonBefore.io.written;
    used.cancelled += cancelled - daemonBefore.io.cancelled;
  }
  const start = performance.now();
  await run("sync", ["--file-system", directory]);
  const sync = (performance.now() - start) / 1000;
  return { wall: own.wall, ...used, spool: 0, registryCpu, peakRss: own.peakRss, sync, ...measureDisk(directory) };
}

function totalCpu(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + processCpu(pid), 0);
}

interface ShellCost {
  readonly wall: number;
  readonly cpu: number;
  readonly written: number;
  readonly cancelled: number;
  readonly peakRss: number;
}

/** What the children used is added to the shell's account when they were waited for. */
async function runShell({ script, environment, daemon }: Command): Promise<ShellCost> {
  const account = 'echo "wall $began $EPOCHREALTIME"; cat "/proc/$$/io"; times';
  const child = spawn("bash", ["-c", `set -eo pipefail; began=$EPOCHREALTIME; { ${script}; } >/dev/null; ${account}`], {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const memory = new PeakRss([child.pid!, ...(daemon === undefined ? [] : [daemon])]);
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  const [output, errors] = await ended.finally(() => memory.stop());
  if (child.exitCode !== 0)
    throw new Error(errors.trim().slice(-MESSAGE_CHARACTERS) || `it ended with ${child.exitCode ?? child.signalCode}`);
  const [, began, until] = /^wall ([\d.]+) ([\d.]+)$/m.exec(output)!;
  return { wall: Number(until) - Number(began), cpu: childrenCpu(output), ...parseWritten(output), peakRss: memory.peak };
}

/** The last line of `times` is of the children: `1m2.003s 0m4.500s`. */
function childrenCpu(times: string): number {
  const fields = times
    .trim()
    .split("\n")
    .at(-1)!
    .matchAll(/(\d+)m([\d.]+)s/g);
  return Array.from(fields).reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
}
