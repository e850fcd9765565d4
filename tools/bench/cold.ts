/** Cold pulls, and the floor beneath them. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../test/support/run.ts";
import { PROJECT } from "../project.ts";
import { reason, type Context } from "./context.ts";
import { untilWritten } from "./quiet.ts";
import type { ServedImage } from "./registries.ts";
import type { ColdRow, Floor, FloorRow } from "./result.ts";

const FLOOR = join(PROJECT, "dist/tools/bench/floor.js");

export interface ColdPulls {
  readonly rows: readonly ColdRow[];
  readonly floor: FloorRow;
}

/** A peer that fails is not tried again, and its row says why. */
export async function coldPulls(context: Context, image: ServedImage, options: { readonly floor: boolean }): Promise<ColdPulls> {
  const tag = image.tag;
  const rows = context.peers.map(({ name }): ColdRow => ({ image: tag, peer: name, samples: [] }));
  const floor: FloorRow & { samples: Floor[] } = { image: tag, samples: [] };
  for (let round = 0; round < context.conditions.rounds; round++) {
    await context.beginRound([image], context.peers);
    let trees: string | undefined;
    for (const peer of context.order(round)) {
      const row = rows.find(({ peer: name }) => name === peer.name)!;
      if (row.failure !== undefined) continue;
      await context.beginRun([image], peer);
      await using session = await context.open(peer);
      try {
        const sample = await context.pull(session, image);
        row.samples.push(sample);
        context.say(`${tag}, round ${round + 1}, ${peer.name}: ${sample.wall.toFixed(2)} s, CPU ${sample.cpu.toFixed(2)} s`);
        if (peer.name === "shale") trees = join(session.directory, "store/trees");
      } catch (error) {
        row.failure = reason(error);
        context.say(`${tag}, ${peer.name} cannot pull it: ${row.failure}`);
      }
    }
    if (options.floor && trees !== undefined) floor.samples.push(await measureFloor(image, trees, await context.newDirectory()));
  }
  return { rows, floor };
}

async function measureFloor(image: ServedImage, trees: string, directory: string): Promise<Floor> {
  await untilWritten();
  const out = join(directory, "floor");
  await mkdir(out);
  return JSON.parse((await run(process.execPath, [FLOOR, trees, out, ...image.blobs])).toString()) as Floor;
}
