/** Starts and controls actor-main.ts processes: they work on a store on command, can be killed, and can see another boot id. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Finding, PullOptions } from "../../src/index.ts";

export type Order = { readonly store: string } & (
  | { readonly kind: "open" | "close" | "gc" | "usage" }
  /** Loads every module before the fault; `store` is a scratch directory. */
  | { readonly kind: "warm"; readonly references: readonly string[] }
  | {
      readonly kind: "pull";
      readonly reference: string;
      readonly options?: Pick<PullOptions, "pullPolicy" | "force" | "materialize" | "buildIndex" | "profile">;
    }
  | { readonly kind: "materialize"; readonly reference: string }
  | { readonly kind: "rootfs"; readonly reference: string; readonly destination: string }
  | { readonly kind: "remove"; readonly references: readonly string[] }
  | { readonly kind: "export"; readonly diffIds: readonly string[] }
  | { readonly kind: "fsck"; readonly repair?: boolean }
);

export interface Outcome {
  readonly layers?: readonly string[];
  readonly cached?: boolean;
  readonly downloadedBytes?: number;
  readonly ingestedLayers?: number;
  readonly removed?: number;
  readonly chunks?: number;
  readonly findings?: readonly Finding[];
}

export interface Answer {
  readonly outcome?: Outcome;
  readonly failure?: { readonly code: string; readonly typed: boolean; readonly text: string };
}

export interface ActorOptions {
  /** A file that this process sees in place of the kernel's boot id. Needs root. */
  readonly bootId?: string;
}

const PROGRAM: string = fileURLToPath(new URL("./actor-main.js", import.meta.url));
/** An order that takes longer than this counts as hanging. */
const PATIENCE_MS = 60_000;

export class Actor implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly #exited: Promise<unknown>;
  #errors = "";

  private constructor(child: ChildProcess) {
    this.process = child;
    this.#exited = once(child, "exit");
    child.stderr?.on("data", (text: Buffer) => (this.#errors = (this.#errors + text.toString()).slice(-4000)));
  }

  /** Resolves when the process accepts orders. */
  static async start({ bootId }: ActorOptions = {}): Promise<Actor> {
    const script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"';
    const wrap = bootId === undefined ? [] : ["unshare", "-m", "sh", "-c", script, bootId];
    const [program, ...args] = [...wrap, process.execPath, PROGRAM];
    const actor = new Actor(spawn(program, args, { stdio: ["ignore", "ignore", "pipe", "ipc"] }));
    await actor.#message();
    return actor;
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** Output on standard error so far. */
  get errors(): string {
    return this.#errors;
  }

  get alive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Returns the answer, or undefined if the process died. @throws if it takes too long */
  tell(order: Order): Promise<Answer | undefined> {
    if (this.alive) this.process.send(order, () => undefined);
    return this.#message() as Promise<Answer | undefined>;
  }

  /** Returns the outcome of an order that must succeed. */
  async get(order: Order): Promise<Outcome> {
    const answer = await this.tell(order);
    if (answer?.outcome) return answer.outcome;
    throw new Error(`${JSON.stringify(order)} failed: ${answer?.failure?.text ?? `the process died\n${this.#errors}`}`);
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.exited();
  }

  async exited(): Promise<void> {
    if (this.alive) await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #message(): Promise<unknown> {
    if (!this.alive) return undefined;
    const late = new AbortController();
    const message = once(this.process, "message", { signal: late.signal }).then(([value]) => value as unknown);
    const died = this.#exited.then(() => undefined);
    const hung = sleep(PATIENCE_MS, "hung" as const, { signal: late.signal });
    try {
      const first = await Promise.race([message, died, hung]);
      if (first !== "hung") return first;
      await this.kill();
      throw new Error(`the process took more than ${PATIENCE_MS} ms\n${this.#errors}`);
    } finally {
      late.abort();
      await Promise.allSettled([message, hung]);
    }
  }
}
