import type { Target } from "../target.ts";
import { CHALLENGE, MANIFEST, REFERENCE } from "./documents.ts";
import { PLATFORM } from "./platform.ts";
import { KEPT_HEADERS, SIDECAR } from "./sidecar.ts";
import { TAR } from "./tar.ts";

export const TARGETS: readonly Target[] = [TAR, SIDECAR, KEPT_HEADERS, MANIFEST, REFERENCE, CHALLENGE, PLATFORM];
