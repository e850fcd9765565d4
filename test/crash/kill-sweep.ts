/** SIGKILL at random moments and at chosen system calls of every phase; then what must be true of the store is checked. */
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { Actor } from "./actor.ts";
import { Checker } from "./check-store.ts";
import { copyStore, makeTemplates, ordersOf, PHASES, type Phase } from "./phases.ts";
import { Random } from "./random.ts";
import { attach, mostCalls } from "./strace.ts";
import type { World } from "./world.ts";

/** Calls that change the file system, or what is held: before and after each of them a store looks different. */
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

/** How a phase runs when nobody disturbs it. */
interface Profile {
  readonly milliseconds: number;
  /** The kinds of calls, by how often one thread makes them at most. */
  readonly calls: readonly { readonly set: string; readonly most: number }[];
}

export interface SweepOptions {
  readonly world: World;
  readonly directory: string;
  readonly seed: string;
  /** Rounds to do, by number: each depends on the seed and its number alone. */
  readonly rounds: readonly number[];
  /** Told of each round that went wrong. */
  readonly onProblem: (text: string) => void;
  /** Rounds at work at the same time. */
  readonly lanes: number;
}

export interface SweepResult {
  /** Kills that hit a process at work, by phase. */
  readonly kills: Readonly<Record<string, number>>;
  /** Work that was done before its kill. */
  readonly missed: number;
}

export async function sweepKills(options: SweepOptions): Promise<SweepResult> {
  const { world, directory, rounds, lanes } = options;
  const templates = await makeTemplates(world, directory);
  const profiles = await measure(world, directory, templates);
  const kills: Record<string, number> = Object.fromEntries(PHASES.map((phase) => [phase, 0]));
  let missed = 0;
  const waiting = [...rounds];
  const work = async (): Promise<void> => {
    await using checker = new Checker(world);
    for (let round = waiting.shift(); round !== undefined; round = waiting.shift()) {
      const phase = PHASES[round % PHASES.length]!;
      const store = join(directory, `killed-${round}`);
      const plans = plan(new Random(options.seed, round), profiles[phase]);
      await copyStore(templates[phase], store);
      for (const one of plans.kills) {
        if (await killOnce(store, { phase, world, kill: one })) kills[phase]!++;
        else missed++;
      }
      const problems = await checker.check(store, { fsckFirst: plans.fsckFirst, repairFirst: phase === "repair", repair: round % 3 === 0 }).catch((error: unknown) => [String(error)]);
      if (phase === "rootfs" && problems.length === 0) problems.push(...(await checkRootfs(world, store)));
      if (problems.length > 0) {
        const where = `SHALE_CRASH_SEED=${options.seed} SHALE_CRASH_ROUND=${round} ${phase} ${JSON.stringify(plans)}`;
        options.onProblem(`${where}\n${problems.slice(0, 10).join("\n")}`);
      }
      for (const path of [store, `${store}-rootfs`]) rmSync(path, { recursive: true, force: true });
    }
  };
  await Promise.all(Array.from({ length: lanes }, work));
  return { kills, missed };
}

/** After so many ms, or at a thread's nth call of a kind. */
type Kill = { readonly afterMs: number } | { readonly call: string; readonly nth: number };

/** One to five deaths before anybody looks: the next begins where the last one died. */
function plan(random: Random, profile: Profile): { readonly kills: readonly Kill[]; readonly fsckFirst: boolean } {
  const kills = Array.from({ length: 1 + random.integer(5) }, (): Kill => {
    if (random.fraction() < 0.4) return { afterMs: Math.round(random.fraction() * profile.milliseconds * 1.05) };
    const { set, most } = random.pick(profile.calls);
    return { call: set, nth: 1 + random.integer(most) };
  });
  return { kills, fsckFirst: random.fraction() < 0.5 };
}

/** False when the work was done first. */
async function killOnce(store: string, { phase, world, kill }: { phase: Phase; world: World; kill: Kill }): Promise<boolean> {
  await using actor = await Actor.start();
  await actor.get({ kind: "open", store });
  const tracer = "call" in kill ? await attach(actor.pid, [`trace=${kill.call}`, `inject=${kill.call}:signal=SIGKILL:when=${kill.nth}`]) : undefined;
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

async function measure(world: World, directory: string, templates: Readonly<Record<Phase, string>>): Promise<Readonly<Record<Phase, Profile>>> {
  const profiles: Partial<Record<Phase, Profile>> = {};
  for (const phase of PHASES) {
    const milliseconds = await undisturbed(join(directory, `timed-${phase}`), { phase, world, template: templates[phase] });
    const output = join(directory, `calls-${phase}`);
    await undisturbed(join(directory, `traced-${phase}`), { phase, world, template: templates[phase], output });
    const most = mostCalls(output);
    const calls = CALLS.map((set) => ({ set, most: Math.max(0, ...set.split(",").map((name) => most.get(name) ?? 0)) }));
    profiles[phase] = { milliseconds, calls: calls.filter((call) => call.most > 0) };
  }
  return profiles as Record<Phase, Profile>;
}

async function undisturbed(
  store: string,
  { phase, world, template, output }: { phase: Phase; world: World; template: string; output?: string },
): Promise<number> {
  await copyStore(template, store);
  await using actor = await Actor.start();
  await actor.get({ kind: "open", store });
  const tracer = output === undefined ? undefined : await attach(actor.pid, [`trace=${CALLS.join(",")}`], output);
  const started = performance.now();
  for (const order of ordersOf(phase, store, world).work) await actor.get(order);
  const milliseconds = performance.now() - started;
  await tracer?.detach();
  for (const path of [store, `${store}-rootfs`]) rmSync(path, { recursive: true, force: true });
  return milliseconds;
}

async function checkRootfs(world: World, store: string): Promise<string[]> {
  await using actor = await Actor.start();
  const destination = `${store}-rootfs`;
  const answer = await actor.tell({ kind: "rootfs", store, reference: world.images.target.reference, destination });
  return answer?.outcome ? [] : [`the next root file system failed: ${answer?.failure?.text ?? "it died"}`];
}
