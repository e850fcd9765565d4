/**
 * What a program does with an open store, timed: store-child COMMAND STORE REFERENCE [COUNT]. Prints JSON, seconds.
 *
 *     cached       pulls what is there COUNT times: { times }
 *     materialize  makes the trees of an image that was pulled with --materialize lazy: { wall, cpu }
 *     remove       forgets the image and collects the garbage: { wall, cpu, chunks }
 */
import { accessSync } from "node:fs";
import { openStore, Registry, type Store } from "../../src/index.ts";

const [command = "", path = "", reference = "", count = "1"] = process.argv.slice(2);
await using store = await openStore(path);
process.stdout.write(`${JSON.stringify(await act(store))}\n`);

async function act(store: Store): Promise<object> {
  switch (command) {
    case "cached":
      return cachedPulls(store);
    case "materialize":
      return materialize(store);
    case "remove":
      return timed(async () => {
        await store.remove(reference);
        return { chunks: (await store.gc({ keepYoungerMs: 0 })).chunks };
      });
    default:
      throw new RangeError(`store-child: no command "${command}"`);
  }
}

async function cachedPulls(store: Store): Promise<{ times: number[] }> {
  await using registry = new Registry({ store, plainHttp: true });
  const times: number[] = [];
  for (let round = 0; round < Number(count); round++) {
    mark();
    const start = performance.now();
    const image = await registry.pull(reference);
    times.push((performance.now() - start) / 1000);
    await image.close();
    if (!image.cached) throw new Error(`${reference} was not in the store`);
  }
  mark();
  return { times };
}

async function materialize(store: Store): Promise<object> {
  await using registry = new Registry({ store, plainHttp: true });
  await using image = await registry.pull(reference, { materialize: "lazy" });
  return await timed(async () => {
    await image.materialize();
    return { trees: image.layers };
  });
}

async function timed(work: () => Promise<object>): Promise<object> {
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  const found = await work();
  const wall = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { wall, cpu: (user + system) / 1e6, ...found };
}

/** A line in the log of strace, between one pull and the next. */
function mark(): void {
  try {
    accessSync("/bench-mark");
  } catch {
    // it is not there: only the attempt is wanted
  }
}
