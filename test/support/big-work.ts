/** `big-work.js OPERATION STORE [ARGUMENT]`: does one thing to a big store, and says what that took, as one line of JSON. */
import { readFileSync } from "node:fs";
import { Level } from "level";
import { fsck, openStore, Registry } from "../../src/index.ts";
import { layersOf, pullSynthetic, syntheticLayer } from "./big-store.ts";

export interface BigWork {
  readonly milliseconds: number;
  /** Highest resident memory, in bytes. */
  readonly peakMemory: number;
  /** Keys and values that went through LevelDB's interface. */
  readonly levelKeys: number;
  readonly value: unknown;
}

type Operation = (store: string, argument: string) => Promise<unknown>;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  /** An image like the others, with a layer that the store has not. */
  async pull(path, argument) {
    const [number, own] = argument.split(",").map(Number) as [number, number];
    await using store = await openStore(path);
    await using registry = new Registry({ store });
    const image = await pullSynthetic({ store, registry }, `${path}-layout`, { name: `image-${number}`, layers: layersOf(number, own) });
    await image.close();
    return image.stats;
  },
  async remove(path, argument) {
    await using store = await openStore(path);
    const name = (await store.images()).flatMap(({ reasons }) =>
      reasons.flatMap((reason) =>
        reason.kind === "reference" && reason.reference.endsWith(`/image-${argument}:latest`) ? [reason.reference] : [],
      ),
    );
    return await store.remove(name[0] ?? "");
  },
  async gc(path, argument) {
    await using store = await openStore(path);
    return await store.gc({ keepYoungerMs: 0, ...(JSON.parse(argument || "{}") as object) });
  },
  async usage(path) {
    await using store = await openStore(path);
    const { images, layers, ...totals } = await store.usage();
    return { ...totals, images: images.length, layers: layers.length };
  },
  async quick(path) {
    let findings = 0;
    for await (const finding of fsck(path, { level: "quick" })) {
      findings++;
      process.stderr.write(`${JSON.stringify(finding)}\n`);
    }
    return findings;
  },
  /** Small images, one after the other, until standard input ends: how long each took. */
  async pulls(path) {
    await using store = await openStore(path);
    await using registry = new Registry({ store });
    const times: number[] = [];
    const ended = new AbortController();
    process.stdin.on("end", () => ended.abort()).resume();
    for (let number = 0; !ended.signal.aborted; number++) {
      const layers = [syntheticLayer(`small-${process.pid}-${number}`, 10)];
      const image = await pullSynthetic({ store, registry }, `${path}-small`, { name: `small-${number}`, layers });
      times.push(image.stats.durationMs);
      await image.close();
      await store.remove(image.reference);
    }
    return times;
  },
};

let levelKeys = 0;

/** Every key that is read, written, or looked for. */
function countKeys(): void {
  const prototype = Object.getPrototypeOf(Level.prototype) as Record<string, (...args: never[]) => unknown>;
  for (const name of ["get", "getMany", "has", "hasMany", "put", "del"]) {
    const original = prototype[name]!;
    prototype[name] = function (this: unknown, ...args: unknown[]): unknown {
      levelKeys += Array.isArray(args[0]) ? args[0].length : 1;
      return original.apply(this, args as never[]);
    };
  }
  for (const name of ["keys", "iterator"]) {
    const original = prototype[name]!;
    prototype[name] = function (this: unknown, ...args: unknown[]): unknown {
      return counted(original.apply(this, args as never[]) as Iterator);
    };
  }
  const batch = prototype["batch"]!;
  prototype["batch"] = function (this: unknown, ...args: unknown[]): unknown {
    const made = batch.apply(this, args as never[]) as { length: number; write: () => unknown };
    const write = made.write.bind(made);
    made.write = (): unknown => {
      levelKeys += made.length;
      return write();
    };
    return made;
  };
}

interface Iterator {
  nextv: (size: number) => Promise<unknown[]>;
  all: () => Promise<unknown[]>;
}

function counted(iterator: Iterator): Iterator {
  const { nextv, all } = iterator;
  const count = async (work: Promise<unknown[]>): Promise<unknown[]> => {
    const found = await work;
    levelKeys += found.length;
    return found;
  };
  iterator.nextv = (size) => count(nextv.call(iterator, size));
  iterator.all = () => count(all.call(iterator));
  return iterator;
}

const [, , operation = "", store = "", argument = ""] = process.argv;
countKeys();
const started = performance.now();
const value = await OPERATIONS[operation]!(store, argument);
const milliseconds = performance.now() - started;
const peakMemory = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
process.stdout.write(`${JSON.stringify({ milliseconds, peakMemory, levelKeys, value } satisfies BigWork)}\n`);
