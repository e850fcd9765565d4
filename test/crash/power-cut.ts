/** Power cuts at random moments of every phase that writes. After the next boot, the store must be intact. */
import { randomUUID } from "node:crypto";
import { closeSync, fsync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Actor, type Answer, type Order } from "./actor.ts";
import { Checker } from "./check-store.ts";
import { Disk } from "./disk.ts";
import { ordersOf, OTHER_PROFILES, UNINDEXED, type Phase } from "./phases.ts";
import { Random } from "./random.ts";
import type { World } from "./world.ts";

const PHASES = ["pull", "profiles", "materialize", "gc", "index", "remove", "force"] as const satisfies readonly Phase[];
const DISK_BYTES = 160 * 1024 * 1024;

export interface CutOptions {
  readonly world: World;
  readonly directory: string;
  readonly seed: string;
  readonly rounds: readonly number[];
  readonly onProblem: (text: string) => void;
}

export interface CutResult {
  /** Cuts during the work. */
  readonly cuts: number;
  /** Cuts after the work, before it was written to disk. */
  readonly after: number;
  /** By phase: cuts during the work, and all cuts. */
  readonly phases: Readonly<Record<string, readonly [number, number]>>;
  /** Error codes of the processes that lost their disk. */
  readonly codes: Readonly<Record<string, number>>;
}

export async function cutPower(options: CutOptions): Promise<CutResult> {
  const { world, directory, seed, rounds, onProblem } = options;
  const image = join(directory, "template");
  await makeTemplate(world, image);
  const totals: Totals = { cuts: 0, after: 0, phases: {}, codes: {} };
  const boot = join(directory, "boot");
  const lengths = new Lengths({ world, directory, boot });
  for (const round of rounds) {
    const random = new Random(seed, "power", round);
    const phase = PHASES[round % PHASES.length]!;
    const where = `SHALE_CRASH_SEED=${seed} SHALE_CRASH_ROUND=${round} power ${phase}`;
    try {
      await using disk = await Disk.create(join(directory, `power-${round}`), { size: DISK_BYTES, from: join(image, "image") });
      const cuts = 1 + random.integer(2);
      for (let cut = 0; cut < cuts; cut++) {
        await disk.unmount();
        const commitMs = random.fraction() < 0.7 ? random.integer(30) : undefined;
        const length =
          cut === 0 ? await lengths.first(phase, join(image, "image"), commitMs) : await lengths.measure(phase, disk.image, commitMs);
        await disk.mount();
        await cutOnce({ world, disk, phase, random, totals, boot, commitMs, length });
      }
      const bootId = newBoot(boot);
      await using checker = new Checker(world, { bootId });
      const problems = await checker.check(join(disk.path, "store"), {
        fsckFirst: false,
        ...(phase === "profiles" && { profiles: OTHER_PROFILES }),
      });
      if (problems.length > 0) onProblem(`${where}\n${problems.slice(0, 10).join("\n")}`);
    } catch (error) {
      onProblem(`${where}\n${(error as Error).stack}`);
    }
  }
  return totals;
}

/** Makes a file system with a store that has `keep`, synced to disk. */
async function makeTemplate(world: World, directory: string): Promise<void> {
  const disk = await Disk.create(directory, { size: DISK_BYTES, make: ["-J", "size=4", "-N", "8000"] });
  await using actor = await Actor.start();
  const store = join(disk.path, "store");
  await actor.get({ kind: "pull", store, reference: world.images.keep.reference, options: UNINDEXED });
  await actor.get({ kind: "close", store });
  await disk.unmount();
}

/** Measures how long each phase takes without a cut, on a copy of the disk. */
class Lengths {
  readonly #options: { readonly world: World; readonly directory: string; readonly boot: string };
  readonly #first = new Map<string, Promise<number>>();
  #next = 0;

  constructor(options: { world: World; directory: string; boot: string }) {
    this.#options = options;
  }

  /** Measured once with other processes that sync, and once without. */
  first(phase: Phase, image: string, commitMs: number | undefined): Promise<number> {
    const key = `${phase} ${commitMs !== undefined}`;
    const known = this.#first.get(key) ?? this.measure(phase, image, commitMs);
    this.#first.set(key, known);
    return known;
  }

  /** Returns milliseconds. `image` must not be mounted. */
  async measure(phase: Phase, image: string, commitMs: number | undefined): Promise<number> {
    const { world, directory, boot } = this.#options;
    await using disk = await Disk.create(join(directory, `measured-${this.#next++}`), { size: DISK_BYTES, from: image });
    const orders = ordersOf(phase, join(disk.path, "store"), world);
    await using actor = await Actor.start({ bootId: newBoot(boot) });
    for (const order of orders.before) await actor.get(order);
    const committing = new AbortController();
    const commits = commitMs === undefined ? undefined : commit(join(disk.path, "other"), commitMs, committing.signal);
    const began = performance.now();
    await work(actor, orders.work);
    const length = performance.now() - began;
    committing.abort();
    await commits;
    await actor.kill();
    return length;
  }
}

interface Totals {
  cuts: number;
  after: number;
  readonly phases: Record<string, [number, number]>;
  readonly codes: Record<string, number>;
}

interface Cut {
  readonly world: World;
  readonly disk: Disk;
  readonly phase: Phase;
  readonly random: Random;
  readonly totals: Totals;
  /** Directory for the boot id files. */
  readonly boot: string;
  /** Interval (ms) at which another process syncs; undefined: never. */
  readonly commitMs: number | undefined;
  /** Duration of the work, in ms. */
  readonly length: number;
}

/** Cuts at up to 110 % of the duration, so some cuts come after the work but before it is on disk. */
async function cutOnce({ world, disk, phase, random, totals, boot, commitMs, length }: Cut): Promise<void> {
  const store = join(disk.path, "store");
  const orders = ordersOf(phase, store, world);
  await using actor = await Actor.start({ bootId: newBoot(boot) });
  for (const order of orders.before) await actor.get(order);
  // other processes sync their own files, which commits the journal: names and sizes reach the disk before content does
  const committing = new AbortController();
  const commits = commitMs === undefined ? undefined : commit(join(disk.path, "other"), commitMs, committing.signal);
  const working = work(actor, orders.work);
  const first = await Promise.race([working, sleep(random.fraction() * 1.1 * length, "cut" as const)]);
  if (first !== "cut") await sleep(random.integer(200));
  disk.cut();
  const answer = await working;
  committing.abort();
  await commits;
  await actor.kill();
  const ofPhase = (totals.phases[phase] ??= [0, 0]);
  ofPhase[1]++;
  if (first === "cut") {
    totals.cuts++;
    ofPhase[0]++;
  } else totals.after++;
  const code = answer?.failure ? (answer.failure.typed ? answer.failure.code : `untyped ${answer.failure.text.slice(0, 300)}`) : "done";
  totals.codes[code] = (totals.codes[code] ?? 0) + 1;
  await disk.unmount();
  await disk.mount();
}

/** Returns the answer to the first order that fails, or to the last one. */
async function work(actor: Actor, orders: readonly Order[]): Promise<Answer | undefined> {
  let answer: Answer | undefined;
  for (const order of orders) {
    answer = await actor.tell(order);
    if (!answer?.outcome) return answer;
  }
  return answer;
}

const sync = promisify(fsync);

async function commit(path: string, everyMs: number, signal: AbortSignal): Promise<void> {
  for (let count = 0; !signal.aborted; count++) {
    try {
      writeFileSync(path, `${count}`);
      const fd = openSync(path, "r");
      await sync(fd).finally(() => closeSync(fd));
    } catch {
      // the power is cut
      return;
    }
    await sleep(everyMs);
  }
}

/** Makes a file with a new boot id. */
function newBoot(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, randomUUID());
  writeFileSync(path, `${randomUUID()}\n`);
  return path;
}
