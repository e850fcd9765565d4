/** SIGKILL at random moments and at chosen system calls of every phase; then the store is checked. */
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { Actor } from "./actor.ts";
import { Checker } from "./check-store.ts";
import { ordersOf, PHASES, Templates, type Phase } from "./phases.ts";
import { Random } from "./random.ts";
import { attach, mostCalls } from "./strace.ts";
import type { World } from "./world.ts";

/** System calls that change the file system or locks: each of them changes the state of the store. */
const CALLS = [
  "rename,renameat,renameat2",
  "link,linkat",
  "unlink,unlinkat,rmdir",
  "mkdir,mkdirat",
  "openat",
  "ftruncate",
  "fsync,fdatasync,syncfs",
  "pwrite64",
  "write",
  "utimensat,fchmod,fchown,chmod,lchown",
  "symlink,symlinkat,mknod,mknodat",
  "setxattr,lsetxattr,fsetxattr",
  "flock",
] as const;

/** How a phase runs without a fault. */
interface Profile {
  readonly milliseconds: number;
  /** The kinds of calls, with the most calls that one thread makes. */
  readonly calls: readonly { readonly set: string; readonly most: number }[];
}

export interface SweepOptions {
  readonly world: World;
  readonly directory: string;
  readonly seed: string;
  /** Number of processes to kill while they work; rounds are repeated until then. */
  readonly kills: number;
  /** Run only this round. A round depends only on the seed and its number. */
  readonly only?: number | undefined;
  /** Called for each round with problems. */
  readonly onProblem: (text: string) => void;
  /** Number of parallel rounds. */
  readonly lanes: number;
}

export interface SweepResult {
  readonly rounds: number;
  /** Kills of a working process, by phase. */
  readonly kills: Readonly<Record<string, number>>;
  /** Phases that ended before their kill. */
  readonly missed: number;
}

export async function sweepKills(options: SweepOptions): Promise<SweepResult> {
  const sweep = new Sweep(options);
  await Promise.all(Array.from({ length: options.only === undefined ? options.lanes : 1 }, () => sweep.work()));
  return { rounds: sweep.rounds, kills: sweep.kills, missed: sweep.missed };
}

class Sweep {
  readonly kills: Record<string, number> = Object.fromEntries(PHASES.map((phase) => [phase, 0]));
  rounds = 0;
  missed = 0;
  readonly #options: SweepOptions;
  readonly #templates: Templates;
  readonly #profiles = new Map<Phase, Promise<Profile>>();
  #next: number;

  constructor(options: SweepOptions) {
    this.#options = options;
    this.#templates = new Templates(options.world, options.directory);
    this.#next = options.only ?? 0;
  }

  /** Runs rounds until there are enough kills. */
  async work(): Promise<void> {
    const { world, seed, only, kills, onProblem } = this.#options;
    await using checker = new Checker(world);
    const isEnough = (): boolean =>
      only === undefined ? Object.values(this.kills).reduce((sum, count) => sum + count, 0) >= kills : this.#next > only;
    while (!isEnough()) {
      const round = this.#next++;
      const phase = PHASES[round % PHASES.length]!;
      const profile = this.#profiles.get(phase) ?? this.#measure(phase);
      this.#profiles.set(phase, profile);
      const plans = plan(new Random(seed, round), await profile);
      const problems = await this.#round(round, { phase, plans, checker }).catch((error: unknown) => [
        (error as Error).stack ?? String(error),
      ]);
      this.rounds++;
      if (problems.length === 0) continue;
      const where = `SHALE_CRASH_SEED=${seed} SHALE_CRASH_ROUND=${round}: ${phase} ${JSON.stringify(plans)}`;
      onProblem(`${where}\n${problems.slice(0, 10).join("\n")}`);
    }
  }

  async #round(round: number, { phase, plans, checker }: { phase: Phase; plans: Plan; checker: Checker }): Promise<string[]> {
    const { world, directory } = this.#options;
    const store = join(directory, `killed-${round}`);
    try {
      await this.#templates.copy(phase, store);
      for (const kill of plans.kills) {
        if (await killOnce(store, { phase, world, kill })) this.kills[phase]!++;
        else this.missed++;
      }
      const options = { fsckFirst: plans.fsckFirst, repairFirst: phase === "repair", repair: round % 3 === 0 };
      const problems = await checker.check(store, options);
      return phase === "rootfs" ? [...problems, ...(await checkRootfs(world, store))] : problems;
    } finally {
      removeStore(store);
    }
  }

  /** Runs the phase twice: once to time it, and once to count its system calls. */
  async #measure(phase: Phase): Promise<Profile> {
    const { world, directory } = this.#options;
    const output = join(directory, `calls-${phase}`);
    const stores = ["timed", "traced"].map((name) => join(directory, `${name}-${phase}`));
    for (const store of stores) await this.#templates.copy(phase, store);
    const milliseconds = await undisturbed(stores[0]!, { phase, world });
    await undisturbed(stores[1]!, { phase, world, output });
    const most = mostCalls(output);
    const calls = CALLS.map((set) => ({ set, most: Math.max(0, ...set.split(",").map((name) => most.get(name) ?? 0)) }));
    return { milliseconds, calls: calls.filter((call) => call.most > 0) };
  }
}

function removeStore(store: string): void {
  for (const path of [store, `${store}-rootfs`]) rmSync(path, { recursive: true, force: true });
}

/** When to kill: after this many ms, or at a thread's nth call of a kind. */
type Kill = { readonly afterMs: number } | { readonly call: string; readonly nth: number };

interface Plan {
  readonly kills: readonly Kill[];
  readonly fsckFirst: boolean;
}

/** One to five kills before the store is checked; each process starts where the last one died. */
function plan(random: Random, profile: Profile): Plan {
  const kills = Array.from({ length: 1 + random.integer(5) }, (): Kill => {
    if (random.fraction() < 0.4) return { afterMs: Math.round(random.fraction() * profile.milliseconds * 1.05) };
    const { set, most } = random.pick(profile.calls);
    return { call: set, nth: 1 + random.integer(most) };
  });
  return { kills, fsckFirst: random.fraction() < 0.5 };
}

/** Returns false if the work ended before the kill. */
async function killOnce(store: string, { phase, world, kill }: { phase: Phase; world: World; kill: Kill }): Promise<boolean> {
  await using actor = await Actor.start();
  await actor.get({ kind: "open", store });
  const tracer =
    "call" in kill ? await attach(actor.pid, [`trace=${kill.call}`, `inject=${kill.call}:signal=SIGKILL:when=${kill.nth}`]) : undefined;
  const timer = "afterMs" in kill ? sleep(kill.afterMs).then(() => actor.kill()) : undefined;
  let done = true;
  for (const order of ordersOf(phase, store, world).work) {
    const answer = await actor.tell(order);
    if (answer?.failure && phase !== "repair") throw new Error(`${phase} failed before it was killed: ${answer.failure.text}`);
    done = answer !== undefined;
    if (!done) break;
  }
  await timer;
  await actor.kill();
  await tracer?.detach();
  return !done;
}

async function undisturbed(store: string, { phase, world, output }: { phase: Phase; world: World; output?: string }): Promise<number> {
  await using actor = await Actor.start();
  await actor.get({ kind: "open", store });
  const tracer = output === undefined ? undefined : await attach(actor.pid, [`trace=${CALLS.join(",")}`], output);
  const started = performance.now();
  for (const order of ordersOf(phase, store, world).work) await actor.get(order);
  const milliseconds = performance.now() - started;
  await tracer?.detach();
  removeStore(store);
  return milliseconds;
}

async function checkRootfs(world: World, store: string): Promise<string[]> {
  await using actor = await Actor.start();
  const destination = `${store}-rootfs`;
  const answer = await actor.tell({ kind: "rootfs", store, reference: world.images.target.reference, destination });
  return answer?.outcome ? [] : [`the next root file system failed: ${answer?.failure?.text ?? "it died"}`];
}
