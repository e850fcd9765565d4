/** The tasks of garbage collection that run in worker threads. */
import { deleteDirectory } from "../system/delete-directory.ts";
import type { Handled, Handlers, Task } from "../system/worker-pool.ts";
import { findChunks, type FindChunksRequest, type FoundChunks } from "./find-chunks.ts";
import { helpUnlink, type UnlinkTaskMap } from "./unlink-in-parallel.ts";

export interface DeleteRequest {
  readonly directory: string;
  /** How long to work, in ms. */
  readonly slice: number;
}

/** Names deleted before the clock is read again. */
const NAMES = 16;

export interface GcTaskMap extends UnlinkTaskMap {
  "gc/find-chunks": Task<FindChunksRequest, FoundChunks>;
  /** True when the directory is deleted. */
  "gc/delete": Task<DeleteRequest, boolean>;
}

export class GcTasks {
  readonly handlers: Handlers<GcTaskMap> = {
    "gc/find-chunks": async (request: FindChunksRequest) => ({ value: await findChunks(request) }),
    "gc/unlink": (request) => ({ value: helpUnlink(request) }),
    "gc/delete": (request: DeleteRequest) => this.#delete(request),
  };
  /** The state of each unfinished deletion, by directory. */
  readonly #deletions = new Map<string, Generator<void, void>>();

  /** Returns true when the directory is deleted. Otherwise the same worker continues with the next request for it. */
  #delete({ directory, slice }: DeleteRequest): Handled<boolean> {
    const deletion = this.#deletions.get(directory) ?? deleteDirectory(directory);
    this.#deletions.delete(directory);
    const end = performance.now() + slice;
    do {
      for (let names = 0; names < NAMES; names++) if (deletion.next().done) return { value: true };
    } while (performance.now() < end);
    this.#deletions.set(directory, deletion);
    return { value: false };
  }
}
