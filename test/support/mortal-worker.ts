/** The workers of an ingest, and of a pool's tests: they die, fail or answer when told to. */
import { Engine } from "../../src/ingest/pipeline/engine.ts";
import { ShaleError } from "../../src/errors.ts";
import { serveWorker, type Handled, type Service } from "../../src/system/worker-pool.ts";

const handlers: Service["handlers"] = {
  "test/echo": (value: unknown): Handled => ({ value }),
  "test/hoard": (): Handled => {
    const held: number[][] = [];
    for (;;) held.push(Array.from({ length: 1000 }, (_, index) => index + held.length));
  },
  "test/die": (): Handled => process.exit(3),
  "test/fail": (): Handled => {
    throw new ShaleError("TAR_INVALID", "told to", { offset: 7 }, { cause: Object.assign(new Error("inner"), { code: "ENOENT" }) });
  },
  "test/throw": (): Handled => {
    throw new RangeError("plain");
  },
};

await serveWorker({
  ingest: () => new Engine(),
  test: (): Service => ({ handlers }),
  unloadable: () => Promise.reject(new Error("cannot be loaded")),
});
