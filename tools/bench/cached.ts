/** Pulls of an image that is there: in a running process, and as a new one. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../test/support/run.ts";
import type { Context, Session } from "./context.ts";
import { SHALE, STORE_CHILD, type Peer } from "./peers.ts";
import type { ServedImage } from "./registries.ts";
import type { TimesRow } from "./result.ts";
import { median } from "./statistics.ts";

const PULLS = 200;
const TRACED_PULLS = 20;
const PROCESSES_PER_ROUND = 6;

export async function cachedPulls(context: Context, image: ServedImage): Promise<readonly TimesRow[]> {
  const rows: TimesRow[] = [];
  await using shale = await pulled(context, image, "shale");
  if (shale) rows.push(await shaleInProcess(shale, image));
  await using crate = await pulled(context, image, "microsandbox-image");
  if (crate?.peer.program !== undefined) rows.push(await crateInProcess(crate, crate.peer.program, { image, context }));
  const starts: [string, string, readonly string[]][] = [["node -e 0", process.execPath, ["-e", "0"]]];
  if (shale) starts.push(["shale pull, new process", process.execPath, pullArguments(shale, image)]);
  if (crate?.peer.program !== undefined)
    starts.push(["microsandbox-image, new process", crate.peer.program, [join(crate.directory, "cache"), image.secureReference]]);
  const processes = starts.map(([name]): TimesRow => ({ image: image.tag, name, times: [] }));
  for (let round = 0; round < context.conditions.rounds * PROCESSES_PER_ROUND; round++)
    for (const [index, [, program, args]] of starts.entries())
      processes[index]!.times.push(await timeProcess(program, args, context.registries.authorities));
  return [...rows, ...processes];
}

async function pulled(context: Context, image: ServedImage, name: string): Promise<Session | undefined> {
  const peer = context.peers.find((known: Peer) => known.name === name);
  if (!peer) return undefined;
  const session = await context.open(peer);
  await context.pull(session, image);
  return session;
}

function pullArguments({ directory }: Session, { reference }: ServedImage): readonly string[] {
  return [SHALE, "pull", reference, "--store", join(directory, "store"), "--plain-http", "--quiet"];
}

async function timeProcess(program: string, args: readonly string[], authorities: string): Promise<number> {
  const start = performance.now();
  await run(program, args, { env: { ...process.env, SSL_CERT_FILE: authorities } });
  return (performance.now() - start) / 1000;
}

async function shaleInProcess({ directory }: Session, image: ServedImage): Promise<TimesRow> {
  const command = (pulls: number): string[] => [STORE_CHILD, "cached", join(directory, "store"), image.reference, String(pulls)];
  const { times } = JSON.parse((await run(process.execPath, command(PULLS))).toString()) as { times: number[] };
  const log = join(directory, "strace.log");
  await run("strace", ["-f", "-o", log, process.execPath, ...command(TRACED_PULLS)]);
  const counts = callsBetweenMarks(await readFile(log, "latin1"));
  return { image: image.tag, name: "shale, running process", times, systemCalls: median(counts) };
}

/** Of each pull: all threads' calls from one mark to the next. What comes before the first mark and after the last is left out. */
export function callsBetweenMarks(log: string): number[] {
  return log
    .split(/^.*access\("\/bench-mark".*$/m)
    .slice(1, -1)
    .map((part) => countCalls(part));
}

/** Lines in which a call begins. */
export function countCalls(log: string): number {
  return log.match(/^\d+ +\w+\(/gm)?.length ?? 0;
}

async function crateInProcess(session: Session, program: string, { image, context }: CrateSubject): Promise<TimesRow> {
  const env = { ...process.env, SSL_CERT_FILE: context.registries.authorities };
  const command = (pulls: number): string[] => [join(session.directory, "cache"), image.secureReference, String(pulls)];
  const output = (await run(program, command(PULLS), { env })).toString();
  const times = output
    .trim()
    .split("\n")
    .map((text) => Number(text) / 1000);
  const log = join(session.directory, "strace.log");
  const traced = async (pulls: number): Promise<number> => {
    await run("strace", ["-f", "-o", log, program, ...command(pulls)], { env });
    return countCalls(await readFile(log, "latin1"));
  };
  const systemCalls = ((await traced(2 * TRACED_PULLS)) - (await traced(TRACED_PULLS))) / TRACED_PULLS;
  return { image: image.tag, name: "microsandbox-image, running process", times, systemCalls: Math.round(systemCalls) };
}

interface CrateSubject {
  readonly image: ServedImage;
  readonly context: Context;
}
