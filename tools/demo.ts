/**
 * The demo, `npm run demo`: two images pulled from a registry in this process into a new store, and a program run inside them.
 * It needs no network and no privileges, and leaves a store behind, whose place it names.
 */
import { dirname, join } from "node:path";
import { openStore, Registry, ShaleError, type Image, type Store } from "../src/index.ts";
import { startRegistry, type TestImage, type TestRegistry } from "../src/testing/index.ts";
import { makeStoreDirectory, usualDirectories } from "./demo/choose-directory.ts";
import { diskUse } from "./demo/disk-use.ts";
import { buildImages } from "./demo/images.ts";
import { NoWayError, runInside } from "./demo/run-inside.ts";
import { fact, heading, line, showBytes, showProgress, showTime } from "./demo/show.ts";

interface Demo {
  readonly store: Store;
  readonly registry: Registry;
  readonly signal: AbortSignal;
}

async function demo(signal: AbortSignal): Promise<void> {
  const started = performance.now();
  line("shale demo: two images with nearly the same files, one store; no daemon, no network");
  const place = makeStoreDirectory(usualDirectories());
  await using served = await startRegistry();
  const references = await serveImages(served);
  {
    await using store = await openStore(place, { signal });
    await using registry = new Registry({ store, plainHttp: [served.host] });
    await tour({ store, registry, signal }, references);
  }
  heading(`Done in ${showTime(performance.now() - started)}. The store is ${place}`);
  line(`   Nothing else was left behind. To remove it: rm -r ${place}`);
}

async function serveImages(served: TestRegistry): Promise<readonly [string, string]> {
  heading("1. Two images, made of the Node that runs here, and a registry in this process");
  const started = performance.now();
  const { first, second } = await buildImages();
  describe("demo/app:1", first, "Node and its libraries, then a program and its packages");
  describe("demo/app:2", second, "the libraries, then Node and the packages, then a changed program");
  fact("registry", `${served.host}, made in ${showTime(performance.now() - started)}`);
  return [served.push("demo/app", "1", first), served.push("demo/app", "2", second)];
}

function describe(name: string, { layers }: TestImage, what: string): void {
  const packed = layers.reduce((sum, { size }) => sum + size, 0);
  fact(name, `${layers.length} layers, ${showBytes(packed)} compressed`);
  fact("", what);
}

async function tour(demo: Demo, [first, second]: readonly [string, string]): Promise<void> {
  const { store } = demo;
  heading("2. Pulling the first into an empty store: every file is written once, named by its content");
  await using one = await pull(demo, first);
  await run(demo, one);
  const alone = diskUse(store.path);

  heading("3. Pulling the second: other layers, so all of it is fetched, but hardly a file is new");
  await using two = await pull(demo, second);
  await run(demo, two);

  heading("4. Pulling the first again: the registry is not even asked");
  await using again = await pull(demo, first);
  if (!again.cached) throw new Error("the second pull of the same image was not answered from the store");

  heading("5. What it takes on the disk");
  const [copyOfOne, copyOfTwo] = [unpackedSize(one), unpackedSize(two)];
  fact("as two separate copies", `${showBytes(copyOfOne + copyOfTwo)} (${showBytes(copyOfOne)} and ${showBytes(copyOfTwo)})`);
  fact("in this store", `${showBytes(diskUse(store.path))} (${showBytes(alone)} of it before the second pull)`);
  fact("of that, files' contents", `${showBytes(diskUse(join(store.path, "chunks")))}, each once; all layers link to them`);
}

/** What the layers of an image would take if nothing were shared between them. */
function unpackedSize(image: Image): number {
  return image.layers.map((layer) => diskUse(layer)).reduce((sum, bytes) => sum + bytes, 0);
}

async function pull({ registry, signal }: Demo, reference: string): Promise<Image> {
  line(`   ${reference}`);
  const progress = showProgress();
  const image = await registry.pull(reference, { signal, onProgress: progress.onEvent }).finally(() => progress.stop());
  const { durationMs, downloadedBytes, newChunks, newChunkBytes } = image.stats;
  fact("pulled in", `${showTime(durationMs)}${image.cached ? ", from the store (cached: true)" : ""}`);
  fact("downloaded", showBytes(downloadedBytes));
  fact("new files on the disk", `${newChunks} (${showBytes(newChunkBytes)})`);
  return image;
}

/** Prints what the image's program says. */
async function run({ store, signal }: Demo, image: Image): Promise<void> {
  const started = performance.now();
  const { way, output } = await runInside(image, { directory: dirname(store.path), signal });
  fact("its program ran in", `${showTime(performance.now() - started)}, by ${way}`);
  for (const text of output.trimEnd().split("\n")) line(`   | ${text}`);
}

function explain(error: unknown): string {
  if (error instanceof NoWayError) return [error.message, ...error.reasons].join("\n  ");
  if (ShaleError.is(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

const abort: AbortController = new AbortController();
process.once("SIGINT", () => abort.abort(new Error("interrupted")));
try {
  await demo(abort.signal);
} catch (error) {
  process.stderr.write(`demo: ${explain(error)}\n`);
  process.exitCode = 1;
}
