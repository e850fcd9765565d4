/** Processes pull overlapping images in parallel, while others remove images, collect garbage, and run fsck. */
import { join } from "node:path";
import { buildImage, buildLayer, type TestLayer } from "../../src/testing/index.ts";
import { compareTrees, manifestOfTree } from "../support/manifest-of-tree.ts";
import { Actor } from "./actor.ts";
import { Random } from "./random.ts";
import type { World } from "./world.ts";

export interface CrowdOptions {
  readonly world: World;
  readonly directory: string;
  readonly seed: string;
  readonly processes: number;
  readonly rounds: number;
  readonly onProblem: (text: string) => void;
}

export interface CrowdResult {
  readonly pulls: number;
  /** Number of layers to ingest. */
  readonly layers: number;
  readonly fetched: number;
  /** Number of layers fetched again because gc removed chunks that their ingest relied on. */
  readonly again: number;
  readonly collections: number;
  readonly checks: number;
}

interface RoundImage {
  readonly reference: string;
  readonly layers: readonly TestLayer[];
}

/** The layers of each image of a round: every layer is in several images. */
const STACKS: readonly (readonly number[])[] = [[0, 1, 2], [0, 2, 3], [4, 1], [3, 4, 0], [2], [1, 3, 4]];

export async function crowd(options: CrowdOptions): Promise<CrowdResult> {
  const { directory, processes, rounds, onProblem } = options;
  await using actors = new Actors();
  const pullers = await actors.start(processes);
  const [remover, checker, alone] = (await actors.start(3)) as [Actor, Actor, Actor];
  const total = { pulls: 0, layers: 0, fetched: 0, again: 0, collections: 0, checks: 0 };
  const store = join(directory, "crowded");
  const crowded = { ...options, store, pullers, remover, checker, alone, total };
  let old: readonly RoundImage[] = [];
  for (let round = 0; round < rounds; round++) {
    // every second round removes images of earlier rounds while it pulls its own
    const leaving = round % 2 === 1 ? old : [];
    const come = await crowdOnce(round, leaving, crowded);
    old = leaving.length > 0 ? come : [...old, ...come];
  }
  const { findings } = await checker.get({ kind: "fsck", store });
  for (const finding of findings!.filter(({ severity }) => severity !== "note")) onProblem(`at the end: ${JSON.stringify(finding)}`);
  return total;
}

interface Crowded extends CrowdOptions {
  readonly store: string;
  readonly pullers: readonly Actor[];
  readonly remover: Actor;
  readonly checker: Actor;
  readonly alone: Actor;
  readonly total: { pulls: number; layers: number; fetched: number; again: number; collections: number; checks: number };
}

/** Returns the pulled images. */
async function crowdOnce(round: number, leaving: readonly RoundImage[], crowded: Crowded): Promise<readonly RoundImage[]> {
  const { world, directory, seed, alone, total } = crowded;
  const onProblem = (text: string): void => crowded.onProblem(`SHALE_CRASH_SEED=${seed} crowd, round ${round}: ${text}`);
  const images = await makeImages(world, new Random(seed, "crowd", round), round);
  const from = world.registry.requests.length;
  const trees = new Map<string, string>();
  let ingested = 0;
  const busy = new AbortController();
  const beside = Promise.allSettled([remove(leaving, crowded, busy.signal), keepChecking({ ...crowded, onProblem }, busy.signal)]);
  const pulls = crowded.pullers.map(async (actor, index) => {
    const random = new Random(seed, "crowd", round, index);
    for (let pull = 0; pull < 3; pull++) {
      const { reference } = random.pick(images);
      const { layers, ingestedLayers } = await actor.get({ kind: "pull", store: crowded.store, reference });
      total.pulls++;
      ingested += ingestedLayers!;
      const text = layers!.join("\n");
      if ((trees.get(reference) ?? text) !== text) onProblem(`${reference} has other trees for another process`);
      trees.set(reference, text);
    }
  });
  const outcomes = await Promise.allSettled(pulls);
  busy.abort();
  outcomes.push(...(await beside));
  for (const outcome of outcomes) if (outcome.status === "rejected") onProblem(String(outcome.reason));
  const come = images.filter(({ reference }) => trees.has(reference));
  const wanted = new Set(come.flatMap(({ layers }) => layers.map(({ digest }) => digest)));
  const fetched = world.registry.requests
    .slice(from)
    .filter(({ path }) => wanted.has(path.slice(path.lastIndexOf("/") + 1) as never)).length;
  total.layers += wanted.size;
  total.fetched += Math.min(fetched, wanted.size);
  total.again += Math.max(0, fetched - wanted.size);
  if (ingested !== wanted.size) onProblem(`${wanted.size} layers were ingested ${ingested} times`);
  // an ingest starts over if gc removed chunks that it relied on
  if (leaving.length === 0 && fetched !== wanted.size) onProblem(`${wanted.size} layers were fetched ${fetched} times`);
  for (const problem of await compareAll(trees, alone, join(directory, `alone-${round}`))) onProblem(problem);
  return come;
}

async function remove(leaving: readonly RoundImage[], { remover, store, total }: Crowded, signal: AbortSignal): Promise<void> {
  const waiting = [...leaving];
  while (waiting.length > 0 || !signal.aborted) {
    const next = waiting.shift();
    if (next) await remover.get({ kind: "remove", store, references: [next.reference] });
    await remover.get({ kind: "gc", store });
    total.collections++;
  }
}

async function keepChecking({ checker, store, total, onProblem }: Crowded, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { findings } = await checker.get({ kind: "fsck", store });
    for (const finding of findings!.filter(({ severity }) => severity === "error")) onProblem(`fsck: ${JSON.stringify(finding)}`);
    total.checks++;
  }
}

class Actors implements AsyncDisposable {
  readonly #all: Actor[] = [];

  async start(count: number): Promise<Actor[]> {
    const started = await Promise.all(Array.from({ length: count }, () => Actor.start()));
    this.#all.push(...started);
    return started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const actor of this.#all) await actor.kill();
  }
}

/** Builds layers that are unique to this round, but share most files with other rounds. */
async function makeImages(world: World, random: Random, round: number): Promise<RoundImage[]> {
  const layers = await Promise.all(
    [0, 1, 2, 3, 4].map((index) =>
      buildLayer([
        { path: `only-${index}`, content: `${round} ${index} ${random.fraction()}` },
        ...Array.from({ length: 60 }, () => random.integer(150)).map((file) => ({
          path: `files/${file % 9}/${file}`,
          content: new Random("crowd file", file).bytes(300 + file * 20),
          mtime: file + 1,
        })),
      ]),
    ),
  );
  return STACKS.map((stack, index) => {
    const own = stack.map((layer) => layers[layer]!);
    return { layers: own, reference: world.registry.push(`crowd/${round}-${index}`, "latest", buildImage({ layers: own })) };
  });
}

/** Compares with a pull of each image into a store that no other process uses. */
async function compareAll(trees: ReadonlyMap<string, string>, alone: Actor, store: string): Promise<string[]> {
  const problems: string[] = [];
  for (const [reference, paths] of trees) {
    const { layers } = await alone.get({ kind: "pull", store, reference });
    for (const [index, tree] of paths.split("\n").entries())
      problems.push(...compareTrees(await manifestOfTree(tree), await manifestOfTree(layers![index]!)));
  }
  await alone.get({ kind: "close", store });
  return problems;
}
