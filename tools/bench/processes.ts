/** What the kernel tells of processes: proc(5). */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

const TICKS_PER_SECOND = 100;
const KIB = 1024;

export interface Written {
  readonly written: number;
  readonly cancelled: number;
}

/** User and system seconds of a process and of its children that ended and were waited for. */
export function processCpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
}

/** Of a process and of its children that ended and were waited for. */
export function processWritten(pid: number): Written {
  return parseWritten(readFileSync(`/proc/${pid}/io`, "utf8"));
}

export function parseWritten(text: string): Written {
  const gross = numberAfter(text, "write_bytes");
  const cancelled = numberAfter(text, "cancelled_write_bytes");
  return { written: gross - cancelled, cancelled };
}

/** The largest sum of resident memory over process trees, as far as a look every 20 ms finds it; single peaks between two looks count. */
export class PeakRss {
  readonly #roots: readonly number[];
  readonly #timer: NodeJS.Timeout;
  #peak = 0;

  constructor(roots: readonly number[]) {
    this.#roots = roots;
    for (const pid of roots) resetPeak(pid);
    this.#timer = setInterval(() => this.#look(), 20);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Bytes. */
  get peak(): number {
    return this.#peak;
  }

  #look(): void {
    let sum = 0;
    for (const pid of this.#roots.flatMap(processTree)) {
      const status = statusOf(pid);
      sum += numberAfter(status, "VmRSS") * KIB;
      this.#peak = Math.max(this.#peak, numberAfter(status, "VmHWM") * KIB);
    }
    this.#peak = Math.max(this.#peak, sum);
  }
}

export function isOnPath(program: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((directory) => existsSync(join(directory, program)));
}

/** proc(5): "5" sets the peak to what is resident now. */
function resetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // the process is another user's or has ended: its peak stays what it is
  }
}

function processTree(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(processTree)];
}

/** A child is listed with the thread that made it. */
function childrenOf(pid: number): number[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const lists = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8"));
    return lists.join(" ").split(" ").filter(Boolean).map(Number);
  } catch {
    return []; // it ended while we looked
  }
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return ""; // it ended while we looked
  }
}

function numberAfter(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(text)?.[1] ?? 0);
}
