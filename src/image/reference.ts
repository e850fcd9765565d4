/** References: where an image comes from and what names it there. */
import type { BlobDigest } from "./digest.ts";

/** An image in a registry. `registry` is the canonical host (`docker.io`, `localhost:5000`, `[::1]:5000`). */
export interface RegistryReference {
  readonly transport: "docker";
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: BlobDigest;
}

/** An image in an OCI image layout directory on this machine. */
export interface LayoutReference {
  readonly transport: "oci";
  /** Absolute. */
  readonly directory: string;
  readonly tag?: string;
}

export type Reference = RegistryReference | LayoutReference;
