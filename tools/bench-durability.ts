/**
 * What `durability: "barrier"` costs: the same image is pulled by turns with each kind into a store of its own, a `sync` before each round.
 * `node dist/tools/bench-durability.js [--rounds 9] [--directory DIRECTORY]`; the directory must be on the disk that is to be measured.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { openStore, Registry } from "../src/index.ts";
import { buildImage, buildLayer, writeLayout, type TestLayer } from "../src/testing/index.ts";

const KINDS = ["deferred", "barrier"] as const;
const LAYERS = 3;
const FILES = 4000;
const FILE_BYTES = 8192;

async function measure(directory: string, rounds: number): Promise<Record<(typeof KINDS)[number], number[]>> {
  const layers: TestLayer[] = [];
  for (let layer = 0; layer < LAYERS; layer++) layers.push(await makeLayer(layer));
  const layout = join(directory, "layout");
  await writeLayout(layout, { image: buildImage({ layers }) });
  const times: Record<(typeof KINDS)[number], number[]> = { deferred: [], barrier: [] };
  for (let round = 0; round < rounds; round++) {
    for (const durability of round % 2 === 0 ? KINDS : KINDS.toReversed()) {
      execFileSync("sync");
      await using store = await openStore(join(directory, `${durability}-${round}`));
      await using registry = new Registry({ store });
      await using image = await registry.pull(`oci:${layout}:image`, { durability });
      times[durability].push(image.stats.durationMs);
    }
  }
  return times;
}

function makeLayer(layer: number): Promise<TestLayer> {
  const entries = Array.from({ length: FILES }, (_, file) => ({
    path: `${layer}/${Math.floor(file / 100)}/${file}`,
    content: randomBytes(FILE_BYTES),
  }));
  return buildLayer(entries, { compression: "none" });
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { rounds: { type: "string", default: "9" }, directory: { type: "string", default: tmpdir() } } });
  const directory = await mkdtemp(join(values.directory, "shale-durability-"));
  try {
    const times = await measure(directory, Number(values.rounds));
    process.stdout.write(`${LAYERS} layers of ${FILES} files of ${FILE_BYTES} bytes, ${values.rounds} rounds\n`);
    for (const kind of KINDS) {
      const sorted = times[kind].toSorted((a, b) => a - b);
      const [median, least, most] = [sorted[sorted.length >> 1]!, sorted[0]!, sorted.at(-1)!];
      process.stdout.write(`${kind.padEnd(8)} median ${median.toFixed(0)} ms (${least.toFixed(0)} to ${most.toFixed(0)})\n`);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
