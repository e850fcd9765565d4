/**
 * Who has shown what: that a repository once gave a whole blob, which was verified. Where tenants share a store, a digest alone
 * must not be enough to get at what another one brought. A proof says so of a repository and not of a user, and outlives the
 * process; it is worth nothing without the layer, and is swept with it.
 */
import { hash } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { parseBlobDigest, parseDiffId, type BlobDigest, type DiffId } from "../image/digest.ts";
import { ShaleError } from "../errors.ts";
import { syncDirectory } from "../system/durable-write.ts";
import { namesIn } from "../system/names-in.ts";
import { readChecked, writeChecked } from "./checked-file.ts";
import type { Warn } from "./images.ts";
import { base32 } from "./ids.ts";
import type { Layers } from "./layers.ts";
import type { StoreLayout } from "./layout.ts";

export interface Proof {
  /** Canonical text without tag and digest: `docker.io/library/alpine`, `oci:/srv/layout`. Empty: one that has no name, for which nothing is ever proven. */
  readonly repository: string;
  readonly blob: BlobDigest;
  /** What the blob unpacks to; of an image config the blob itself. */
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

  /** Durably. */
  add({ repository, blob, content }: Proof): void {
    if (repository === "") return;
    if (!existsSync(this.#layout.proofs)) {
      mkdirSync(this.#layout.proofs, { recursive: true, mode: 0o700 });
      syncDirectory(this.#layout.images);
    }
    writeChecked(this.#layout.proof(proofKey({ repository, blob, content })), { repository, blob, content }, this.#layout.staging);
  }
}

/** What tells one repository's proofs, and its unfinished downloads, from another's: 32 characters, good for a file name. */
export function proofKey({ repository, blob, content }: Proof): string {
  return base32(hash("sha256", `${repository}\0${blob}\0${content}`, "buffer")).slice(0, 32);
}

/** Removes proofs of what is not in the store any more, and damaged ones. */
export function sweepProofs(layout: StoreLayout, layers: Layers, warn: Warn): void {
  for (const name of namesIn(layout.proofs)) {
    const path = layout.proof(name);
    const proof = readChecked(path, warn) as Proof | undefined;
    if (proof === undefined || proofKey(proof) !== name || !isThere(proof, layout, layers)) rmSync(path, { force: true });
  }
}

function isThere({ blob, content }: Proof, layout: StoreLayout, layers: Layers): boolean {
  try {
    return content === blob ? existsSync(layout.config(parseBlobDigest(content))) : layers.state(parseDiffId(content)) !== "absent";
  } catch (error) {
    if (ShaleError.is(error, "DIGEST_INVALID")) return false;
    throw error;
  }
}
