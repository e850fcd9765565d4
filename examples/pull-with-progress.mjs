/**
 * Pulls an image and shows percent, rate and remaining time on one line.
 *
 *     node examples/pull-with-progress.mjs [--store DIR] [--plain-http] REFERENCE
 */
import { parseArgs } from "node:util";
import { openStore, ProgressSummary, Registry } from "shale";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { store: { type: "string", default: "store" }, "plain-http": { type: "boolean", default: false } },
});
const [reference] = positionals;
if (reference === undefined) throw new TypeError("give the reference of an image");

const store = await openStore(values.store);
const registry = new Registry({ store, plainHttp: values["plain-http"] });
const progress = new ProgressSummary();
const draw = () => process.stderr.write(`\r\u001B[K${describe(progress.snapshot())}`);
const timer = setInterval(draw, 100);
try {
  const image = await registry.pull(reference, { onProgress: progress.update });
  draw();
  process.stderr.write("\n");
  for (const directory of image.layers) console.log(directory);
  await image.close();
} finally {
  clearInterval(timer);
  await registry.close();
  await store.close();
}

/**
 * `[==========          ]  50 % fetching, 63.0 of 126.0 MB, 12.3 MB/s, 5 s left`
 *
 * @param {import("shale").ProgressSnapshot} progress
 */
function describe({ phase, percent = 0, downloadedBytes, totalBytes, bytesPerSecond, remainingMs }) {
  const full = Math.floor(percent / 5);
  const parts = [`[${"=".repeat(full)}${" ".repeat(20 - full)}] ${String(Math.floor(percent)).padStart(3)} % ${phase}`];
  if (phase === "fetching") {
    if (totalBytes !== undefined) parts.push(`${(downloadedBytes / 1e6).toFixed(1)} of ${(totalBytes / 1e6).toFixed(1)} MB`);
    if (bytesPerSecond !== undefined) parts.push(`${(bytesPerSecond / 1e6).toFixed(1)} MB/s`);
    if (remainingMs !== undefined) parts.push(`${Math.ceil(remainingMs / 1000)} s left`);
  }
  return parts.join(", ");
}
