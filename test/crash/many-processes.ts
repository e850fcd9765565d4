/** Processes that pull overlapping images at the same time, while others remove, collect garbage, and check. */
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
  /** Layers there were to fetch, and times that one was fetched. */
  readonly layers: number;
  readonly fetched: number;
  readonly collections: number;
  readonly checks: number;
}

interface RoundImage {
  readonly reference: string;
  readonly layers: readonly TestLayer[];
}

/** Which of a round's layers each image has: every layer is in several. */
const STACKS: readonly (readonly number[])[] = [[0, 1, 2], [0, 2, 3], [4, 1], [3, 4, 0], [2], [1, 3, 4]];

export async function crowd(options: CrowdOptions): Promise<CrowdResult> {
  const { world, directory, seed, processes, rounds, onProblem } = options;
  const store = join(directory, "crowded");
  await using all = new Actors();
  const pullers = await all.start(processes);
  const [remover, checker, alone] = (await all.start(3)) as [Actor, Actor, Actor];
  const total = { pulls: 0, layers: 0, fetched: 0, collections: 0, checks: 0 };
  let before: readonly RoundImage[] = [];
  for (let round = 0; round < rounds; round++) {
    const random = new Random(seed, "crowd", round);
    const images = await makeImages(world, random, round);
    const from = world.registry.requests.length;
    let pulling = true;
    const collecting = (async (): Promise<void> => {
      for (const { reference } of before) {
        await remover.get({ kind: "remove", store, references: [reference] });
        await remover.get({ kind: "gc", store });
        total.collections++;
      }
      while (pulling) {
        await remover.get({ kind: "gc", store });
        total.collections++;
      }
    })();
    const checking = (async (): Promise<void> => {
      while (pulling) {
        const { findings } = await checker.get({ kind: "fsck", store });
        for (const finding of findings!.filter(({ severity }) => severity === "error"))
          onProblem(`SHALE_CRASH_SEED=${seed} crowd round ${round}: fsck beside: ${JSON.stringify(finding)}`);
        total.checks++;
      }
    })();
    const trees = new Map<string, string>();
    const outcomes = await Promise.allSettled(
      pullers.map(async (actor, index) => {
        const own = new Random(seed, "crowd", round, index);
        for (let pull = 0; pull < 3; pull++) {
          const { reference } = own.pick(images);
          const { layers } = await actor.get({ kind: "pull", store, reference });
          total.pulls++;
          const text = layers!.join("\n");
          if ((trees.get(reference) ?? text) !== text) onProblem(`crowd round ${round}: ${reference} has other trees for another process`);
          trees.set(reference, text);
        }
      }),
    );
    pulling = false;
    outcomes.push(...(await Promise.allSettled([collecting, checking])));
    for (const outcome of outcomes)
      if (outcome.status === "rejected") onProblem(`SHALE_CRASH_SEED=${seed} crowd round ${round}: ${String(outcome.reason)}`);
    const wanted = new Set(images.filter(({ reference }) => trees.has(reference)).flatMap(({ layers }) => layers.map(({ digest }) => digest)));
    const fetched = world.registry.requests.slice(from).filter(({ path }) => [...wanted].some((digest) => path.endsWith(`/blobs/${digest}`)));
    total.layers += wanted.size;
    total.fetched += fetched.length;
    if (fetched.length !== wanted.size) onProblem(`SHALE_CRASH_SEED=${seed} crowd round ${round}: ${fetched.length} fetches of ${wanted.size} layers`);
    for (const problem of await compareAll(trees, alone, join(directory, `alone-${round}`))) onProblem(`crowd round ${round}: ${problem}`);
    before = images.filter(({ reference }) => trees.has(reference));
  }
  const { findings } = await checker.get({ kind: "fsck", store });
  for (const finding of findings!.filter(({ severity }) => severity !== "note")) onProblem(`crowd, at the end: ${JSON.stringify(finding)}`);
  return total;
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

/** Layers of this round alone, whose files are mostly those of other rounds. */
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

/** Against a pull of each image into a store that nobody else uses. */
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
