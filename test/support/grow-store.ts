/** `grow-store.js DIRECTORY IMAGES CHUNKS`: makes the big store, or goes on with it; tells how pulls did as it grew. */
import { openStore } from "../../src/index.ts";
import { growStore } from "./big-store.ts";

const [, , path = "", images = "", chunks = ""] = process.argv;
const size = { images: Number(images), chunks: Number(chunks) };
const started = await openStore(path, { profile: "overlay" });
const { length: present } = await started.images();
await started.close();
const STEP = Math.max(1, Math.round(size.images / 10));
for (let from = present; from < size.images; from += STEP) {
  const times = (await growStore(path, size, { from, to: Math.min(from + STEP, size.images) })).sort((a, b) => a - b);
  const [median, worst] = [times[times.length >> 1]!, times.at(-1)!];
  process.stderr.write(`images ${from} and more: a pull took ${median.toFixed(0)} ms (median), ${worst.toFixed(0)} ms (most)\n`);
}
