/** Image manifests, OCI and Docker schema 2, in one shape. */
import type { Descriptor } from "./descriptor.ts";

/** `layers` stand bottom to top. */
export interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}
