/** Pulls of an image that is there: in a running process, and as a new one. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { run } from "../../test/support/run.ts";
import { reason, type Context, type Session } from "./context.ts";
import { SHALE, STORE_CHILD } from "./peers.ts";
import type { ServedImage } from "./registries.ts";
import type { TimesRow } from "./result.ts";
import { median } from "./statistics.ts";

const PULLS = 200;
/** The first dozens are those that V8 compiles, by threads whose calls are counted too. */
const TRACED_PULLS = 100;
const PROCESSES_PER_ROUND = 6;
/** What was written in the last two seconds is read again by shale: it could be written once more with the same time. */
const SETTLED_MS = 3000;

export async function cachedPulls(context: Context, image: ServedImage): Promise<readonly TimesRow[]> {
  const rows: TimesRow[] = [];
  const starts: Start[] = [{ name: "node -e 0", program: process.execPath, args: ["-e", "0"] }];
  for (const [name, inProcess, start] of SUBJECTS) {
    const peer = context.peers.find((known) => known.name === name);
    if (!peer) continue;
    const session = await context.open(peer);
    const subject: Subject = { session, image, authorities: context.registries.authorities };
    try {
      await context.pull(session, image);
      await delay(SETTLED_MS);
      rows.push(await inProcess(subject));
      starts.push(start(subject));
    } catch (error) {
      rows.push({ image: image.tag, name, times: [], failure: reason(error) });
    }
  }
  return [...rows, ...(await newProcesses(context, image, starts))];
}

async function newProcesses(context: Context, image: ServedImage, starts: readonly Start[]): Promise<readonly TimesRow[]> {
  const rows = starts.map(({ name }): TimesRow => ({ image: image.tag, name, times: [] }));
  const env = { ...process.env, SSL_CERT_FILE: context.registries.authorities };
  for (let round = 0; round < context.conditions.rounds * PROCESSES_PER_ROUND; round++) {
    for (const [index, { program, args }] of starts.entries()) {
      const start = performance.now();
      await run(program, args, { env });
      rows[index]!.times.push((performance.now() - start) / 1000);
    }
  }
  return rows;
}

interface Subject {
  readonly session: Session;
  readonly image: ServedImage;
  readonly authorities: string;
}

/** A command that finds the image in the store. */
interface Start {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
}

const SUBJECTS: readonly (readonly [string, (subject: Subject) => Promise<TimesRow>, (subject: Subject) => Start])[] = [
  [
    "shale",
    shaleInProcess,
    ({ session, image }) => ({ name: "shale pull, new process", program: process.execPath, args: pullArguments(session, image) }),
  ],
  [
    "microsandbox-image",
    crateInProcess,
    ({ session, image }) => {
      const args = [join(session.directory, "cache"), image.secureReference];
      return { name: "microsandbox-image, new process", program: session.peer.program!, args };
    },
  ],
];

function pullArguments({ directory }: Session, { reference }: ServedImage): readonly string[] {
  return [SHALE, "pull", reference, "--store", join(directory, "store"), "--plain-http", "--quiet"];
}

async function shaleInProcess({ session: { directory }, image }: Subject): Promise<TimesRow> {
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

async function crateInProcess({ session, image, authorities }: Subject): Promise<TimesRow> {
  const program = session.peer.program!;
  const env = { ...process.env, SSL_CERT_FILE: authorities };
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
