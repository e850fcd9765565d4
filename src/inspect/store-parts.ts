/** The parts of one open store that inspection and garbage collection work on. */
import type { Warn } from "../errors.ts";
import type { WorkerPool } from "../system/worker-pool.ts";
import type { TreeTaskMap } from "../tree/tasks.ts";
import type { Catalog } from "../store/catalog/catalog.ts";
import type { Images } from "../store/images.ts";
import type { Layers } from "../store/layers.ts";
import type { StoreLayout } from "../store/layout.ts";
import type { Pins } from "../store/pins.ts";
import type { Leases } from "../store/leases.ts";
import type { Superblock } from "../store/superblock.ts";

export interface StoreParts {
  readonly pool: WorkerPool<TreeTaskMap>;
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  readonly images: Images;
  readonly leases: Leases;
  readonly pins: Pins;
  readonly layers: Layers;
  readonly catalog: Catalog;
  readonly warn: Warn;
}
