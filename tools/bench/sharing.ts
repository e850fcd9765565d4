/** What images that have files in common cost together. */
import { reason, type Context } from "./context.ts";
import type { Peer } from "./peers.ts";
import type { ServedImage } from "./registries.ts";
import type { DiskRow, SharingRow } from "./result.ts";

/** An image, then another with the same files in other layers, into the same store. */
export async function sharedPulls(context: Context, first: ServedImage, second: ServedImage): Promise<readonly SharingRow[]> {
  const peers = keepers(context.peers);
  const rows = peers.map(({ name }): SharingRow => ({ peer: name, first: [], second: [] }));
  for (let round = 0; round < context.conditions.rounds; round++) {
    await context.beginRound([first, second], peers);
    for (const peer of context.order(round, peers)) {
      const row = rows.find(({ peer: name }) => name === peer.name)!;
      if (row.failure !== undefined) continue;
      await using session = await context.open(peer);
      try {
        const sample = await context.pull(session, first);
        row.second.push(await context.pull(session, second));
        row.first.push(sample);
      } catch (error) {
        row.failure = reason(error);
      }
    }
    context.say(`sharing: round ${round + 1} done`);
  }
  return rows;
}

/** The disk after each image of a list, all into the same store; once, since it comes out the same. */
export async function sharedDisk(context: Context, images: readonly ServedImage[]): Promise<readonly DiskRow[]> {
  const peers = keepers(context.peers);
  const rows: DiskRow[] = [];
  await context.beginRound(images, peers);
  for (const peer of peers) {
    const row: DiskRow = { peer: peer.name, images: images.map(({ tag }) => tag), disk: [] };
    rows.push(row);
    await using session = await context.open(peer);
    try {
      for (const image of images) row.disk.push((await context.pull(session, image)).disk);
    } catch (error) {
      row.failure = reason(error);
    }
    context.say(`disk: ${peer.name} done`);
  }
  return rows;
}

/** What TLS changes is seen in cold pulls. */
function keepers(peers: readonly Peer[]): readonly Peer[] {
  return peers.filter(({ floor, name }) => floor !== true && name !== "shale (TLS)");
}
