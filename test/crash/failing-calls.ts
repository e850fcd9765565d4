/** The nth system call of a kind fails in every phase, once or from then on. Then calls work again, and the same process must recover. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Actor } from "./actor.ts";
import { Checker } from "./check-store.ts";
import { judge } from "./disk-full.ts";
import { ordersOf, Templates } from "./phases.ts";
import { Random } from "./random.ts";
import { attach } from "./strace.ts";
import type { World } from "./world.ts";

const FAULTS: readonly { readonly calls: string; readonly errors: readonly string[]; readonly most: number }[] = [
  { calls: "openat", errors: ["EMFILE", "ENFILE", "EACCES", "EROFS", "ENOSPC", "EIO"], most: 200 },
  { calls: "pwrite64", errors: ["ENOSPC", "EIO", "EDQUOT"], most: 150 },
  { calls: "rename,renameat,renameat2", errors: ["EIO", "ENOSPC", "EROFS"], most: 150 },
  { calls: "mkdir,mkdirat", errors: ["ENOSPC", "EACCES", "EROFS", "EIO"], most: 40 },
  { calls: "link,linkat", errors: ["EIO", "ENOSPC", "EDQUOT"], most: 120 },
  { calls: "unlink,unlinkat,rmdir", errors: ["EIO", "EROFS", "EACCES"], most: 120 },
  { calls: "fsync,fdatasync,syncfs", errors: ["EIO", "ENOSPC"], most: 8 },
  { calls: "ftruncate", errors: ["ENOSPC", "EIO"], most: 4 },
  { calls: "utimensat,fchmod,fchown,fchownat", errors: ["EIO", "EROFS", "EPERM"], most: 150 },
  { calls: "symlink,symlinkat,mknod,mknodat", errors: ["ENOSPC", "EIO"], most: 3 },
  { calls: "setxattr,lsetxattr,fsetxattr", errors: ["ENOSPC", "EIO"], most: 3 },
  { calls: "flock", errors: ["ENOLCK", "EIO"], most: 20 },
  { calls: "getdents64", errors: ["EIO", "EMFILE"], most: 10 },
  { calls: "pread64", errors: ["EIO"], most: 60 },
];

const PHASES = ["pull", "gc", "materialize", "pull"] as const;

export interface FailingOptions {
  readonly world: World;
  readonly directory: string;
  readonly seed: string;
  readonly rounds: readonly number[];
  readonly lanes: number;
  readonly onProblem: (text: string) => void;
}

/** How often each error code occurred; "done" counts phases that did not make the call, or did not need it. */
export async function failCalls(options: FailingOptions): Promise<Readonly<Record<string, number>>> {
  const { world, directory, seed, rounds, lanes, onProblem } = options;
  const templates = new Templates(world, directory);
  const codes: Record<string, number> = {};
  const waiting = [...rounds];
  const work = async (): Promise<void> => {
    await using checker = new Checker(world);
    for (let round = waiting.shift(); round !== undefined; round = waiting.shift()) {
      const random = new Random(seed, "calls", round);
      const phase = PHASES[round % PHASES.length]!;
      const { calls, errors, most } = FAULTS[Math.floor(round / PHASES.length) % FAULTS.length]!;
      const nth = 1 + Math.floor(random.fraction() ** 2 * most);
      const inject = `inject=${calls}:error=${random.pick(errors)}:when=${nth}${random.fraction() < 0.6 ? "+" : ""}`;
      const store = join(directory, `failing-${round}`);
      await templates.copy(phase, store);
      const problems = await failOnce({ world, phase, store, inject, calls, codes, warm: join(directory, `warm-${round}`) })
        .then(async (found) => [...found, ...(await checker.check(store, { fsckFirst: true }))])
        .catch((error: unknown) => [(error as Error).stack ?? String(error)]);
      if (problems.length > 0)
        onProblem(`SHALE_CRASH_SEED=${seed} SHALE_CRASH_ROUND=${round} ${phase} ${inject}\n${problems.slice(0, 10).join("\n")}`);
      rmSync(store, { recursive: true, force: true });
    }
  };
  await Promise.all(Array.from({ length: lanes }, work));
  return codes;
}

interface Failing {
  readonly world: World;
  readonly phase: (typeof PHASES)[number];
  readonly store: string;
  readonly inject: string;
  readonly calls: string;
  readonly codes: Record<string, number>;
  readonly warm: string;
}

async function failOnce({ world, phase, store, inject, calls, codes, warm }: Failing): Promise<string[]> {
  await using actor = await Actor.start();
  await actor.get({ kind: "warm", store: warm, references: [world.images.target.reference] });
  rmSync(warm, { recursive: true });
  await actor.get({ kind: "open", store });
  const tracer = await attach(actor.pid, [`trace=${calls}`, inject]);
  const orders = ordersOf(phase, store, world).work;
  const problems: string[] = [];
  for (const order of orders) {
    const answer = await actor.tell(order);
    problems.push(...judge(answer));
    const code = answer?.outcome ? "done" : (answer?.failure?.code ?? "died");
    codes[code] = (codes[code] ?? 0) + 1;
  }
  await tracer.detach();
  for (const order of orders) {
    const again = await actor.tell(order);
    if (!again?.outcome) problems.push(`after the failure: ${again?.failure?.text ?? `it died ${actor.errors}`}`);
  }
  await actor.tell({ kind: "close", store });
  return problems;
}
