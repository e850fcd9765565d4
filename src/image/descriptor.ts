/** Content descriptors: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md */
import { ShaleError } from "../errors.ts";
import { parseBlobDigest, type BlobDigest } from "./digest.ts";
import { JsonObject } from "./document.ts";
import type { Platform } from "./platform.ts";

/** The reference of a manifest or image index to other content; every field is validated. */
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

const MEDIA_TYPE: RegExp = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

/**
 * @param where the position in the document, for messages: `layers[3]`
 * @throws MANIFEST_INVALID, with DIGEST_INVALID as cause if the digest is malformed
 */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  const fields = new JsonObject(value, where, manifestInvalid);
  const mediaType = fields.requiredString("mediaType");
  if (!MEDIA_TYPE.test(mediaType)) throw fields.error("mediaType", "is not a media type");
  const size = fields.get("size");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw fields.error("size", "is not a number of bytes");
  const platform = parsePlatformFields(fields.object("platform"));
  const annotations = fields.stringMap("annotations");
  const urls = fields.strings("urls");
  const artifactType = fields.string("artifactType");
  return {
    mediaType,
    digest: parseDigestField(fields),
    size: size,
    ...(platform && { platform }),
    ...(annotations && { annotations }),
    ...(urls && { urls }),
    ...(artifactType !== undefined && { artifactType }),
  };
}

/** The error for a malformed manifest, image index, or descriptor in one. */
export function manifestInvalid(problem: string, cause?: unknown): ShaleError<"MANIFEST_INVALID"> {
  return new ShaleError(
    "MANIFEST_INVALID",
    `the manifest is malformed: ${problem}; build or push the image again`,
    {},
    cause === undefined ? undefined : { cause },
  );
}

function parseDigestField(fields: JsonObject): BlobDigest {
  try {
    return parseBlobDigest(fields.requiredString("digest"));
  } catch (error) {
    if (!ShaleError.is(error, "DIGEST_INVALID")) throw error;
    throw fields.error("digest", "is malformed", error);
  }
}

/** Undefined if `os` or `architecture` is empty, as in artifacts. */
function parsePlatformFields(fields: JsonObject | undefined): Platform | undefined {
  const os = fields?.string("os") ?? "";
  const architecture = fields?.string("architecture") ?? "";
  const variant = fields?.string("variant") ?? "";
  const osVersion = fields?.string("os.version") ?? "";
  const osFeatures = fields?.strings("os.features") ?? [];
  if (os === "" || architecture === "") return undefined;
  return {
    os,
    architecture,
    ...(variant !== "" && { variant }),
    ...(osVersion !== "" && { osVersion }),
    ...(osFeatures.length > 0 && { osFeatures }),
  };
}
