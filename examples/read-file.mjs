/**
 * Writes a file of an image to standard output. The image is pulled if it is not in the store, but no directory is created.
 *
 *     node examples/read-file.mjs [--store DIR] [--plain-http] REFERENCE PATH
 */
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { openStore, Registry, ShaleError } from "shale";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { store: { type: "string", default: "store" }, "plain-http": { type: "boolean", default: false } },
});
const [reference, path] = positionals;
if (reference === undefined || path === undefined) throw new TypeError("give the reference of an image, and a path inside it");

const store = await openStore(values.store);
const registry = new Registry({ store, plainHttp: values["plain-http"] });
try {
  const image = await registry.pull(reference, { materialize: "lazy" });
  try {
    await pipeline(image.createReadStream(path), process.stdout, { end: false });
  } finally {
    await image.close();
  }
} catch (error) {
  if (!ShaleError.is(error)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await registry.close();
  await store.close();
}
