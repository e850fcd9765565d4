/** store.json: the kind of the store, and whether this version of shale may read or write it. See format/store.md, "Superblock". */
import { isErrno, ShaleError } from "../errors.ts";
import { PROFILES, type Owner, type Profile } from "./profile.ts";

const { readFileSync } = process.getBuiltinModule("node:fs");

const STORE_VERSION = 1;

/** As in ext4: an unknown compatible feature has no effect, a read-only-compatible one forbids writing, an incompatible one forbids opening. */
interface Features {
  readonly compatible: readonly string[];
  readonly readOnlyCompatible: readonly string[];
  readonly incompatible: readonly string[];
}

export interface Superblock {
  readonly version: number;
  readonly id: string;
  readonly digest: "sha256";
  /** The profile that every layer's inodes are made in. */
  readonly profile: Profile;
  /** The owner of files for which a profile stores the caller as owner. */
  readonly owner: Owner;
  readonly features: Features;
}

export function newSuperblock(profile: Profile, owner: Owner): Superblock {
  const features = { compatible: [], readOnlyCompatible: [], incompatible: [] };
  return { version: STORE_VERSION, id: process.getBuiltinModule("node:crypto").randomUUID(), digest: "sha256", profile, owner, features };
}

export function formatSuperblock(superblock: Superblock): string {
  return `${JSON.stringify({ shale: "store", ...superblock }, undefined, 2)}\n`;
}

/**
 * Returns the superblock; undefined if the file is missing.
 * @throws NOT_A_STORE, STORE_VERSION, STORE_FEATURE, STORE_DAMAGED
 */
export function readSuperblock(path: string, root: string): Superblock | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  return parseSuperblock(text, root);
}

function parseSuperblock(text: string, root: string): Superblock {
  const value = parseObject(text);
  if (value?.["shale"] !== "store" || typeof value["version"] !== "number") {
    throw new ShaleError(
      "NOT_A_STORE",
      `${JSON.stringify(root)} has a store.json that does not belong to a shale store; choose another directory`,
      {
        path: root,
      },
    );
  }
  const version = value["version"];
  if (version !== STORE_VERSION) {
    const message = `the store ${JSON.stringify(root)} has format version ${version}, this shale reads version ${STORE_VERSION}; upgrade shale or choose another store`;
    throw new ShaleError("STORE_VERSION", message, { path: root, version });
  }
  const superblock = validate(value);
  if (!superblock) {
    throw new ShaleError("STORE_DAMAGED", `the store.json of ${JSON.stringify(root)} is damaged; run shale fsck or make a new store`, {
      path: root,
    });
  }
  refuseUnknown(superblock.features.incompatible, root, "cannot be read");
  refuseUnknown(superblock.features.readOnlyCompatible, root, "cannot be written");
  return superblock;
}

function validate(value: Record<string, unknown>): Superblock | undefined {
  const { version, id, digest, profile, owner, features } = value as Partial<Superblock> & Record<string, unknown>;
  const known = PROFILES.find((name) => name === profile);
  const lists = features && [features.compatible, features.readOnlyCompatible, features.incompatible];
  if (typeof id !== "string" || !/^[0-9a-f-]{36}$/.test(id) || digest !== "sha256" || !known) return undefined;
  if (!lists?.every((list) => Array.isArray(list) && list.every((name) => typeof name === "string"))) return undefined;
  if (!Number.isSafeInteger(owner?.uid) || !Number.isSafeInteger(owner?.gid)) return undefined;
  return { version: version as number, id, digest, profile: known, owner: owner as Owner, features: features as Features };
}

function refuseUnknown(features: readonly string[], root: string, consequence: string): void {
  if (features.length === 0) return;
  const message = `the store ${JSON.stringify(root)} ${consequence} by this shale: it uses ${features.map((name) => JSON.stringify(name.slice(0, 80))).join(", ")}; upgrade shale`;
  throw new ShaleError("STORE_FEATURE", message, { path: root, features });
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
