/** What all measurements share: where they work, what they pull from, and the state of the machine before each. */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Daemon } from "./containerd.ts";
import { emptyFiles, freeBytes } from "./disk.ts";
import { measure } from "./measure.ts";
import { pullEnvironment, type Peer } from "./peers.ts";
import { cachedShare, dropCaches, untilWritten } from "./quiet.ts";
import { warm, type Registries, type ServedImage } from "./registries.ts";
import type { Conditions, Sample } from "./result.ts";

const RESERVE_BYTES = 4 * 1024 ** 3;
/** Of the memory: what earlier runs of a round may fill. Of images that fill more, late runs were seen to take half as long again. */
const MOST_CACHED = 0.25;
/** What is freed is discarded on the device, and that takes its time. */
const CALM_MS = 20_000;

export interface ContextInit {
  readonly work: string;
  readonly registries: Registries;
  /** Those that can run. */
  readonly peers: readonly Peer[];
  readonly conditions: Conditions;
  /** So small that pulling it only brings programs into memory. */
  readonly tiny: ServedImage;
}

/** One peer in one directory; with its daemon, if it has one. */
export interface Session extends AsyncDisposable {
  readonly peer: Peer;
  readonly directory: string;
  readonly daemon: Daemon | undefined;
}

export class Context {
  readonly peers: readonly Peer[];
  readonly conditions: Conditions;
  readonly registries: Registries;
  readonly #work: string;
  readonly #tiny: ServedImage;
  #directories = 0;

  constructor({ work, registries, peers, conditions, tiny }: ContextInit) {
    this.#work = work;
    this.registries = registries;
    this.peers = peers;
    this.conditions = conditions;
    this.#tiny = tiny;
  }

  /** Room, caches as told, programs and blobs in memory. */
  async beginRound(images: readonly ServedImage[], peers: readonly Peer[]): Promise<void> {
    const bytes = images.reduce((sum, { facts }) => sum + facts.bytes + facts.unpacked * 1.5, 0);
    await this.#makeRoom(bytes * (peers.length + 1) + RESERVE_BYTES);
    await this.#emptyCaches(images, peers);
  }

  /** In the middle of a round: as at its begin, for this peer, if the memory has filled. */
  async beginRun(images: readonly ServedImage[], peer: Peer): Promise<void> {
    if (this.conditions.cachesDropped && cachedShare() > MOST_CACHED) await this.#emptyCaches(images, [peer]);
  }

  async #emptyCaches(images: readonly ServedImage[], peers: readonly Peer[]): Promise<void> {
    if (this.conditions.cachesDropped) await dropCaches();
    for (const image of images) await warm(image);
    for (const peer of peers) {
      await using session = await this.open(peer);
      // a peer that cannot pull fails again where it is measured
      await this.#execute(session, this.#tiny, peer.pull).catch(() => undefined);
    }
  }

  /** In the order of this round, which moves by one from round to round. */
  order(round: number, peers: readonly Peer[] = this.peers): readonly Peer[] {
    return peers.map((_, turn) => peers[(round + turn) % peers.length]!);
  }

  /** In a new directory. */
  async open(peer: Peer): Promise<Session> {
    const directory = await this.newDirectory();
    const daemon = await peer.daemon?.(directory);
    return { peer, directory, daemon, [Symbol.asyncDispose]: async () => daemon?.[Symbol.asyncDispose]() };
  }

  async newDirectory(): Promise<string> {
    const directory = join(this.#work, String(this.#directories++));
    await mkdir(directory);
    return directory;
  }

  async pull(session: Session, image: ServedImage): Promise<Sample> {
    const sample = await this.#execute(session, image, session.peer.pull);
    return session.peer.spools === true ? withoutSpool(sample, image.facts.bytes) : sample;
  }

  async remove(session: Session, image: ServedImage): Promise<Sample> {
    return this.#execute(session, image, session.peer.remove!);
  }

  say(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  async #execute({ directory, daemon }: Session, image: ServedImage, script: string): Promise<Sample> {
    const { pids, authorities } = this.registries;
    const environment = pullEnvironment(image, directory, authorities);
    return measure({ script, environment, directory, daemon: daemon?.pid, registries: pids });
  }

  async #makeRoom(bytes: number): Promise<void> {
    if (freeBytes(this.#work) > bytes) return;
    const old = await readdir(this.#work, { withFileTypes: true });
    for (const entry of old) if (entry.isDirectory()) await emptyFiles(join(this.#work, entry.name));
    this.conditions.emptied++;
    await untilWritten();
    await delay(CALM_MS);
    if (freeBytes(this.#work) < bytes) this.say(`little room is left in ${this.#work}`);
  }
}

/** Bytes of the spool that were deleted before they were written back are cancelled already. */
export function withoutSpool(sample: Sample, downloaded: number): Sample {
  const spool = Math.max(0, downloaded - sample.cancelled);
  return { ...sample, spool, written: sample.written - spool };
}

/** What a failed command said, in one line. */
export function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, " ").trim();
}
