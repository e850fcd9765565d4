/** How much of a stranger's image is too much. */
import type { LayerLimits } from "../ingest/layer-inflater.ts";

/** 64 GiB unpacked in one layer: far above real images, far below a disk. */
export const DEFAULT_LIMITS: LayerLimits = { layerBytes: 64 * 1024 ** 3 };
