/** The workers of an ingest, and of a pool's tests: they die, fail or answer when told to. */
import { Engine } from "../../src/ingest/engine.ts";
import { ShaleError } from "../../src/errors.ts";
import { serveWorker, type Handled } from "../../src/system/worker-pool.ts";

const engine: Engine = new Engine();

await serveWorker(
  {
    ...engine.handlers,
    echo: (value: unknown): Handled => ({ value }),
    hoard: (): Handled => {
      const held: number[][] = [];
      for (;;) held.push(Array.from({ length: 1000 }, (_, index) => index + held.length));
    },
    die: (): Handled => process.exit(3),
    fail: (): Handled => {
      throw new ShaleError("TAR_INVALID", "told to", { offset: 7 }, { cause: Object.assign(new Error("inner"), { code: "ENOENT" }) });
    },
    throw: (): Handled => {
      throw new RangeError("plain");
    },
  },
  engine,
);
