/** Content descriptors: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md */
import type { BlobDigest } from "./digest.ts";
import type { Platform } from "./platform.ts";

/** What a manifest or image index says of the content it points to; every field has been validated. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: BlobDigest;
  /** Bytes. */
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly urls?: readonly string[];
  readonly artifactType?: string;
}
