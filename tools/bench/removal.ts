/** Removing an image and freeing what it took; last of all, for the sake of what would follow a mass deletion. */
import { reason, type Context } from "./context.ts";
import { untilWritten } from "./quiet.ts";
import type { ServedImage } from "./registries.ts";
import type { TimesRow } from "./result.ts";

type Row = TimesRow & { readonly cpu: number[] };

export async function removals(context: Context, image: ServedImage): Promise<readonly TimesRow[]> {
  const peers = context.peers.filter(({ name }) => name !== "shale (TLS)");
  const able = peers.filter(({ remove }) => remove !== undefined);
  const rows = peers.map((peer): Row => {
    const row: Row = { image: image.tag, name: peer.name, times: [], cpu: [] };
    return peer.remove === undefined ? { ...row, failure: "it does not remove images" } : row;
  });
  for (let round = 0; round < context.conditions.rounds; round++) {
    await context.beginRound([image], able);
    for (const peer of context.order(round, able)) {
      const row = rows.find(({ name }) => name === peer.name)!;
      if (row.failure !== undefined) continue;
      await using session = await context.open(peer);
      try {
        await context.pull(session, image);
        const { wall, cpu } = await context.remove(session, image);
        row.times.push(wall);
        row.cpu.push(cpu);
      } catch (error) {
        row.failure = reason(error);
      }
      await untilWritten();
    }
    context.say(`removal: round ${round + 1} done`);
  }
  return rows;
}
