/**
 * Proofs: each records that a repository has served a whole blob, which was verified. If tenants share a store, a digest alone must not give
 * access to the layers of another tenant. A proof belongs to a repository, not to a user. It outlives the process, has no effect without
 * its layer, and is removed with it. See format/store.md, "Images and references".
 */
import { hash } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { parseBlobDigest, parseDiffId, type BlobDigest, type DiffId } from "../image/digest.ts";
import { ShaleError, type Warn } from "../errors.ts";
import { syncDirectory } from "../system/durable-write.ts";
import { namesIn } from "../system/names-in.ts";
import { readChecked, writeChecked } from "./checked-file.ts";
import { base32 } from "./ids.ts";
import type { Layers } from "./layers.ts";
import type { StoreLayout } from "./layout.ts";

export interface Proof {
  /** Canonical text without tag and digest: `docker.io/library/alpine`, `oci:/srv/layout`. Empty for a source without a name, which never has a proof. */
  readonly repository: string;
  readonly blob: BlobDigest;
  /** The diff ID of the uncompressed blob; for an image config, the digest of the blob itself. */
  readonly content: DiffId | BlobDigest;
}

export class Proofs {
  readonly #layout: StoreLayout;
  readonly #warn: Warn;

  constructor(layout: StoreLayout, warn: Warn) {
    this.#layout = layout;
    this.#warn = warn;
  }

  has(proof: Proof): boolean {
    if (proof.repository === "") return false;
    const found = readChecked(this.#layout.proof(proofKey(proof)), this.#warn) as Proof | undefined;
    return found?.repository === proof.repository && found.blob === proof.blob && found.content === proof.content;
  }

  /** Writes a proof durably. */
  add({ repository, blob, content }: Proof): void {
    if (repository === "") return;
    if (!existsSync(this.#layout.proofs)) {
      mkdirSync(this.#layout.proofs, { recursive: true, mode: 0o700 });
      syncDirectory(this.#layout.images);
    }
    writeChecked(this.#layout.proof(proofKey({ repository, blob, content })), { repository, blob, content }, this.#layout.staging);
  }
}

/** Returns the file name of a proof: 32 characters. It also separates the interrupted downloads of repositories. */
export function proofKey({ repository, blob, content }: Proof): string {
  return base32(hash("sha256", `${repository}\0${blob}\0${content}`, "buffer")).slice(0, 32);
}

/** Removes damaged proofs, and those whose layer or config is no longer in the store. */
export function sweepProofs(layout: StoreLayout, layers: Layers, warn: Warn): void {
  for (const name of namesIn(layout.proofs)) {
    const path = layout.proof(name);
    const proof = readChecked(path, warn) as Proof | undefined;
    if (proof === undefined || proofKey(proof) !== name || !isStored(proof, layout, layers)) rmSync(path, { force: true });
  }
}

function isStored({ blob, content }: Proof, layout: StoreLayout, layers: Layers): boolean {
  try {
    return content === blob ? existsSync(layout.config(parseBlobDigest(content))) : layers.state(parseDiffId(content)) !== "absent";
  } catch (error) {
    if (ShaleError.is(error, "DIGEST_INVALID")) return false;
    throw error;
  }
}
