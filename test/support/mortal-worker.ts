/** The workers of an ingest, and of a pool's tests: they die, fail or answer when told to. */
import { Engine, type IngestTaskMap } from "../../src/ingest/pipeline/engine.ts";
import { ShaleError } from "../../src/errors.ts";
import { serveWorker, type Handlers, type Task } from "../../src/system/worker-pool.ts";

export interface TestTaskMap {
  "test/echo": Task<unknown, unknown>;
  "test/hoard": Task<undefined, undefined>;
  "test/die": Task<undefined, undefined>;
  "test/fail": Task<undefined, undefined>;
  "test/throw": Task<undefined, undefined>;
  "test/no-such-handler": Task<undefined, undefined>;
  "unloadable/task": Task<undefined, undefined>;
}

/** Of this module. */
export type MortalTaskMap = IngestTaskMap & TestTaskMap;

const handlers: Handlers<Pick<TestTaskMap, "test/echo" | "test/hoard" | "test/die" | "test/fail" | "test/throw">> = {
  "test/echo": (value) => ({ value }),
  "test/hoard": () => {
    const held: number[][] = [];
    for (;;) held.push(Array.from({ length: 1000 }, (_, index) => index + held.length));
  },
  "test/die": () => process.exit(3),
  "test/fail": () => {
    throw new ShaleError("TAR_INVALID", "told to", { offset: 7 }, { cause: Object.assign(new Error("inner"), { code: "ENOENT" }) });
  },
  "test/throw": () => {
    throw new RangeError("plain");
  },
};

await serveWorker<Omit<MortalTaskMap, "test/no-such-handler">>({
  ingest: async () => new Engine(),
  test: async () => ({ handlers }),
  unloadable: () => Promise.reject(new Error("cannot be loaded")),
});
