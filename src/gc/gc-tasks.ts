/** The workers' side of removal. */
import { deleteDirectory } from "../system/delete-directory.ts";
import type { Handled, Handler } from "../system/worker-pool.ts";
import { findChunks, type FindChunksRequest } from "./find-chunks.ts";
import { helpUnlink, type UnlinkRequest } from "./unlink-in-parallel.ts";

export interface DeleteRequest {
  readonly directory: string;
  /** How long to go on, in ms. */
  readonly slice: number;
}

/** Names deleted between two looks at the clock. */
const NAMES = 16;

export class GcTasks {
  readonly handlers: Readonly<Record<string, Handler>> = {
    "gc/find-chunks": async (request: FindChunksRequest) => ({ value: await findChunks(request) }),
    "gc/unlink": (request: UnlinkRequest) => ({ value: helpUnlink(request) }),
    "gc/delete": (request: DeleteRequest) => this.#delete(request),
  };
  /** Directories that are being deleted, and how far that is. */
  readonly #deletions = new Map<string, Generator<void, void>>();

  /** True when the directory is gone; else the worker that was asked goes on when it is asked again. */
  #delete({ directory, slice }: DeleteRequest): Handled {
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
