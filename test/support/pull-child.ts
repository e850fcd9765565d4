/** A program that pulls, for tests with several processes: `pull-child.js '{...}'` writes one JSON line when it is done. */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { openStore, Registry, ShaleError, type PullOptions } from "../../src/index.ts";

export interface ChildRequest {
  readonly store: string;
  readonly references: readonly string[];
  readonly options?: Pick<PullOptions, "pullPolicy" | "force" | "materialize">;
  /** Of a store that is made now; default `overlay`, "default" for what the probe finds. */
  readonly profile?: "default";
  /** Try it on a disk that is too small. */
  readonly anyDisk?: boolean;
  /** Do not close anything: the process must end by itself. */
  readonly leaveOpen?: boolean;
}

export interface ChildResult {
  readonly images: readonly { readonly layers: readonly string[]; readonly cached: boolean; readonly downloadedBytes: number }[];
  readonly error?: { readonly code: string; readonly message: string };
  /** Highest resident memory, in bytes. */
  readonly peakMemory: number;
  /** Longest time that the event loop was held up, in milliseconds. */
  readonly longestDelay: number;
  readonly milliseconds: number;
}

async function main(request: ChildRequest): Promise<ChildResult> {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const started = performance.now();
  const images: ChildResult["images"][number][] = [];
  let failure: ChildResult["error"];
  try {
    const profile = request.profile === "default" ? {} : ({ profile: "overlay" } as const);
    const store = await openStore(request.store, { ...profile, ...(request.anyDisk && { minFreeBytes: Number.NEGATIVE_INFINITY }) });
    const client = new Registry({ store, plainHttp: true });
    for (const reference of request.references) {
      const { layers, cached, stats } = await client.pull(reference, request.options);
      images.push({ layers, cached, downloadedBytes: stats.downloadedBytes });
    }
    if (request.leaveOpen !== true) {
      await client.close();
      await store.close();
    }
  } catch (error) {
    failure = { code: ShaleError.is(error) ? error.code : "", message: String(error) };
  }
  const peakMemory = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
  const result = { images, peakMemory, longestDelay: delay.max / 1e6, milliseconds: performance.now() - started };
  delay.disable();
  return failure ? { ...result, error: failure } : result;
}

process.stdout.write(`${JSON.stringify(await main(JSON.parse(process.argv[2] ?? "") as ChildRequest))}\n`);
