/**
 * The benchmark: cold and cached pulls, trees, sharing and removal, of real images, beside other tools. `npm run bench`; the options are
 * in bench/options.ts, what is controlled and how in docs/performance.md.
 */
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buildImage, buildLayer, writeLayout } from "../src/testing/index.ts";
import { cachedPulls } from "./bench/cached.ts";
import { coldPulls } from "./bench/cold.ts";
import { Context } from "./bench/context.ts";
import { removeDirectory } from "./bench/disk.ts";
import { writeDocument } from "./bench/document.ts";
import { ensureImage, uniqueBytes, type BenchImage } from "./bench/images.ts";
import { describeMachine, describeSoftware } from "./bench/machine.ts";
import { parseOptions, USAGE, type Options } from "./bench/options.ts";
import { choosePeers, peerFacts, type Peer } from "./bench/peers.ts";
import { dropCaches } from "./bench/quiet.ts";
import { startRegistries, type ServedImage } from "./bench/registries.ts";
import { removals } from "./bench/removal.ts";
import { sections, UNIQUE } from "./bench/report.ts";
import type { Conditions, Result } from "./bench/result.ts";
import { sharedDisk, sharedPulls } from "./bench/sharing.ts";
import { materializedTrees } from "./bench/trees.ts";

type Growing = { -readonly [Key in keyof Result]: Result[Key] };

if (import.meta.main) await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  if (args.includes("--help")) return void process.stdout.write(USAGE);
  const options = parseOptions(args);
  const result = options.chart ? (JSON.parse(await readFile(options.json, "utf8")) as Result) : await bench(options);
  if (!options.chart) for (const [name, text] of sections(result)) process.stdout.write(`\n## ${name}\n\n${text}\n`);
  if (options.write || options.chart) await writeDocument(result);
}

async function bench(options: Options): Promise<Result> {
  const images: BenchImage[] = [];
  for (const tag of options.images) images.push(await ensureImage(tag));
  const peers = await choosePeers(options.peers);
  const work = await mkdtemp(join(options.directory, "shale-bench-"));
  try {
    await using registries = await startRegistries([await tinyImage(work), ...images], work);
    const conditions = await conditionsOf(options, work);
    const [tiny, ...served] = registries.images;
    const present = peers.filter(({ missing }) => missing === undefined);
    const context = new Context({ work, registries, peers: present, conditions, tiny: tiny! });
    return await measureAll(context, served, { options, peers });
  } finally {
    await removeDirectory(work);
  }
}

interface Plan {
  readonly options: Options;
  /** All that were asked for. */
  readonly peers: readonly Peer[];
}

/** The results so far are on the disk after each step. */
async function measureAll(context: Context, images: readonly ServedImage[], { options, peers }: Plan): Promise<Result> {
  const { conditions } = context;
  const empty = { cold: [], floors: [], cached: [], trees: [], sharing: [], disk: [], removal: [] };
  const result: Growing = { conditions, images: images.map(({ facts }) => facts), peers: peers.map(peerFacts), ...empty };
  const save = async (): Promise<void> => {
    await mkdir(dirname(options.json), { recursive: true });
    await writeFile(options.json, `${JSON.stringify(result, undefined, 1)}\n`);
  };
  const wants = (scenario: Options["scenarios"][number]): boolean => options.scenarios.includes(scenario);
  // one image stands for all where only the peers differ
  const subject = images.find(({ tag }) => tag === "node") ?? images[0]!;
  const rebuilt = images.find(({ tag }) => tag === `${subject.tag}-2`);
  if (wants("cold")) {
    for (const image of images.filter(({ tag }) => !tag.endsWith("-2"))) {
      const { rows, floor } = await coldPulls(context, image, { floor: options.peers.length === 0 || options.peers.includes("floor") });
      result.cold = [...result.cold, ...rows];
      result.floors = [...result.floors, floor];
      await save();
    }
  }
  if (wants("cached")) result.cached = await cachedPulls(context, subject);
  if (wants("trees")) result.trees = await materializedTrees(context, subject);
  await save();
  if (wants("sharing") && rebuilt) result.sharing = await sharedPulls(context, subject, rebuilt);
  await save();
  if (wants("disk")) result.disk = await diskRows(context, images);
  await save();
  if (wants("removal")) result.removal = await removals(context, subject);
  await save();
  return result;
}

/** Base, python and node, then what was rebuilt of them. */
async function diskRows(context: Context, images: readonly ServedImage[]): Promise<Result["disk"]> {
  const compared = images.filter(({ tag }) => /^(?:base|python|node)(?:-2)?$/.test(tag));
  const tags = compared.map(({ tag }) => tag);
  const unique = await uniqueBytes(compared);
  const bytes = { peer: UNIQUE, images: tags, disk: unique.map(({ bytes }) => bytes) };
  const inBlocks = { peer: "the same in blocks of 4 KiB", images: tags, disk: unique.map(({ inBlocks }) => inBlocks) };
  const asInodes = {
    peer: "these, other attributes and copies within a layer told apart",
    images: tags,
    disk: unique.map(({ asInodes }) => asInodes),
  };
  return [bytes, inBlocks, asInodes, ...(await sharedDisk(context, compared))];
}

async function conditionsOf(options: Options, work: string): Promise<Conditions> {
  const [machine, software] = [await describeMachine(work), await describeSoftware()];
  const date = new Date().toISOString().slice(0, 10);
  const cachesDropped = !options.keepCaches && (await dropCaches());
  return { date, machine, software, rounds: options.rounds, cachesDropped, emptied: 0 };
}

async function tinyImage(work: string): Promise<BenchImage> {
  const directory = join(work, "tiny");
  await writeLayout(directory, { tiny: buildImage({ layers: [await buildLayer([{ path: "file", content: "tiny" }])] }) });
  return { directory, tag: "tiny", facts: { tag: "tiny", what: "one file", layers: 1, bytes: 0, entries: 1, unpacked: 0 } };
}
