/** The parts of an open store that removal uses. */
import type { StoreParts } from "../inspect/store-parts.ts";
import type { WorkerPool } from "../system/worker-pool.ts";
import type { TreeTaskMap } from "../tree/tasks.ts";
import type { GcTaskMap } from "./gc-tasks.ts";

export interface GcParts extends StoreParts {
  readonly pool: WorkerPool<GcTaskMap & TreeTaskMap>;
}
