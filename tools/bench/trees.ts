/** Trees of an image that is ingested: `image.materialize()` and, of the same trees, `cp -al`. */
import { join } from "node:path";
import { run } from "../../test/support/run.ts";
import type { Context } from "./context.ts";
import { measure } from "./measure.ts";
import { SHALE, STORE_CHILD } from "./peers.ts";
import { untilWritten } from "./quiet.ts";
import type { ServedImage } from "./registries.ts";
import type { TimesRow } from "./result.ts";

interface Materialized {
  readonly wall: number;
  readonly cpu: number;
  readonly trees: readonly string[];
}

type Row = TimesRow & { readonly cpu: number[] };

/** Each round in a new store. */
export async function materializedTrees(context: Context, image: ServedImage): Promise<readonly TimesRow[]> {
  const own: Row = { image: image.tag, name: "shale, image.materialize()", times: [], cpu: [] };
  const floor: Row = { image: image.tag, name: "cp -al of the trees", times: [], cpu: [] };
  for (let round = 0; round < context.conditions.rounds; round++) {
    await context.beginRound([image], []);
    const directory = await context.newDirectory();
    const store = join(directory, "store");
    const pull = [SHALE, "pull", image.reference, "--store", store, "--plain-http", "--quiet", "--materialize", "lazy"];
    await run(process.execPath, pull);
    await untilWritten();
    const output = await run(process.execPath, [STORE_CHILD, "materialize", store, image.reference]);
    const { wall, cpu, trees } = JSON.parse(output.toString()) as Materialized;
    own.times.push(wall);
    own.cpu.push(cpu);
    const script = `mkdir "$DIR/copy"; cp -al ${trees.map((tree) => `"${tree}"`).join(" ")} "$DIR/copy"`;
    const copy = await measure({ script, environment: { DIR: directory }, directory, registries: [] });
    floor.times.push(copy.wall);
    floor.cpu.push(copy.cpu);
  }
  return [own, floor];
}
