/** Disk space, inodes or file descriptors run out at every level. Then they are available again, and the same process must recover. */
import { readdirSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "../support/run.ts";
import { Actor, type Answer } from "./actor.ts";
import { Checker } from "./check-store.ts";
import { Disk } from "./disk.ts";
import type { World } from "./world.ts";

export const SHORTAGES = ["bytes", "inodes", "descriptors", "read-only"] as const;
export type Shortage = (typeof SHORTAGES)[number];

export interface ShortageOptions {
  readonly world: World;
  readonly directory: string;
  readonly shortage: Shortage;
  /** Number of levels, from nothing at all to almost enough. */
  readonly levels: number;
  /** Number of levels that are tested in parallel. */
  readonly lanes: number;
  readonly onProblem: (text: string) => void;
}

/** How often each error code occurred; "done" counts pulls that had enough. */
export type Codes = Readonly<Record<string, number>>;

const DISK_BYTES = 96 * 1024 * 1024;
const INODES = 8000;

export async function runShort(options: ShortageOptions): Promise<Codes> {
  const { world, directory, shortage, levels, lanes, onProblem } = options;
  const codes: Record<string, number> = {};
  const template = join(directory, `full-${shortage}`);
  const needed = await makeTemplate(world, template);
  const waiting = Array.from({ length: levels }, (_, level) => level);
  const work = async (): Promise<void> => {
    await using checker = new Checker(world);
    for (let level = waiting.shift(); level !== undefined; level = waiting.shift()) {
      const trial = { ...options, needed, template, checker, level, codes };
      const problems = await tryLevel(trial).catch((error: unknown) => [(error as Error).stack ?? String(error)]);
      if (problems.length > 0) onProblem(`${shortage}, level ${level} of ${levels}\n${problems.slice(0, 10).join("\n")}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, levels) }, work));
  return codes;
}

interface Trial extends ShortageOptions {
  readonly needed: Needed;
  readonly template: string;
  readonly checker: Checker;
  readonly level: number;
  readonly codes: Record<string, number>;
}

async function tryLevel({ world, directory, shortage, levels, needed, template, checker, level, codes }: Trial): Promise<string[]> {
  const { reference } = world.images.target;
  await using disk = await Disk.create(join(directory, `full-${shortage}-${level}`), { size: DISK_BYTES, from: join(template, "image") });
  await using actor = await Actor.start();
  const store = join(disk.path, "store");
  if (shortage === "descriptors") await actor.get({ kind: "warm", store: join(directory, `warm-${level}`), references: [reference] });
  const end = await begin(shortage, { disk, actor, share: level / levels, needed });
  const answer = await actor.tell({ kind: "pull", store, reference });
  const code = answer?.outcome ? "done" : (answer?.failure?.code ?? "died");
  codes[code] = (codes[code] ?? 0) + 1;
  const problems = [...judge(answer), ...unfinished(store)];
  await end();
  // retry at once in the same process
  const again = await actor.tell({ kind: "pull", store, reference });
  if (!again?.outcome) problems.push(`after the shortage: ${again?.failure?.text ?? `it died ${actor.errors}`}`);
  await actor.tell({ kind: "close", store });
  return [...problems, ...(await checker.check(store, { fsckFirst: true }))];
}

interface Needed {
  readonly bytes: number;
  readonly inodes: number;
}

/** Makes a disk with a store that has `keep`, and measures what a pull of `target` takes. */
async function makeTemplate(world: World, directory: string): Promise<Needed> {
  const disk = await Disk.create(directory, { size: DISK_BYTES, make: ["-J", "size=4", "-N", `${INODES}`] });
  await using actor = await Actor.start();
  const store = join(disk.path, "store");
  await actor.get({ kind: "pull", store, reference: world.images.keep.reference });
  await actor.get({ kind: "close", store });
  await run("cp", ["-a", store, `${store}-whole`]);
  await run("sync", ["-f", disk.path]);
  const before = { bytes: disk.free, inodes: disk.freeInodes };
  await actor.get({ kind: "pull", store: `${store}-whole`, reference: world.images.target.reference });
  await run("sync", ["-f", disk.path]);
  const needed = { bytes: before.bytes - disk.free, inodes: before.inodes - disk.freeInodes };
  await actor.get({ kind: "close", store });
  rmSync(`${store}-whole`, { recursive: true });
  await disk.unmount();
  return needed;
}

/** Creates the shortage. Returns a function that ends it. */
async function begin(
  shortage: Shortage,
  { disk, actor, share, needed }: { disk: Disk; actor: Actor; share: number; needed: Needed },
): Promise<() => Promise<unknown>> {
  const filler = join(disk.path, "filler");
  switch (shortage) {
    case "bytes":
      // level 0 takes the last block too, including what the file system needs for metadata
      if (share === 0) await run("sh", ["-c", 'dd if=/dev/zero of="$0" bs=4096 2>&1 || true', filler]);
      else await run("fallocate", ["-l", `${disk.free - Math.round(needed.bytes * share)}`, filler]);
      return async () => rmSync(filler);
    case "inodes":
      mkdirSync(filler);
      for (let left = disk.freeInodes - Math.round(needed.inodes * share); left > 0; left--) writeFileSync(join(filler, `${left}`), "");
      return async () => rmSync(filler, { recursive: true });
    case "descriptors": {
      const open = readdirSync(`/proc/${actor.pid}/fd`).length;
      const limit = (count: number): Promise<unknown> => run("prlimit", ["--pid", `${actor.pid}`, `--nofile=${count}:20000`]);
      await limit(open + Math.round(share * 40));
      return () => limit(20_000);
    }
    case "read-only":
      await disk.remount("ro");
      return () => disk.remount("rw");
  }
}

/** Requires an error code or success. */
export function judge(answer: Answer | undefined): string[] {
  if (!answer) return ["the process died"];
  return answer.failure && !answer.failure.typed ? [`without a code: ${answer.failure.text}`] : [];
}

/** Reports names in staging, except directories of open handles and downloads that can be resumed. */
function unfinished(store: string): string[] {
  const names = readdirSync(join(store, "staging"), { recursive: true, encoding: "utf8" });
  const waste = names.filter((name) => !/^(?:work-[0-9a-f]+(?:\/owner|\/chunks-\d+)?|downloads(?:\/.*)?)$/.test(name));
  return waste.map((name) => `left in staging: ${name}`);
}
