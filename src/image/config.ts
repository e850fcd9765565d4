/** Image configs: https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md */
import type { DiffId } from "./digest.ts";
import type { Platform } from "./platform.ts";

/** The image config, parsed and validated. Absent fields of the document are empty lists, maps or undefined. */
export interface ImageConfig {
  readonly platform: Platform;
  readonly created?: string;
  readonly author?: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=value`, in order. */
  readonly env: readonly string[];
  readonly workingDir?: string;
  readonly user?: string;
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal?: string;
  /** Bottom to top: one for each layer of the manifest. */
  readonly diffIds: readonly DiffId[];
  readonly history: readonly HistoryEntry[];
}

export interface HistoryEntry {
  readonly created?: string;
  readonly createdBy?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly emptyLayer?: boolean;
}
