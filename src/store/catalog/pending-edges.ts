/**
 * Edges that wait to be entered into LevelDB: a pull leaves them here before it publishes their layer, and so waits for nobody who has the
 * database open. Whoever opens it next enters them first. One file a layer: format/store.md, "Edges".
 */
import { hash, randomBytes } from "node:crypto";
import { closeSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../errors.ts";
import { parseDiffId, type DiffId } from "../../image/digest.ts";
import { makeDirectory } from "../../system/make-directory.ts";
import { namesIn } from "../../system/names-in.ts";
import { openIfThere } from "../../system/open-if-there.ts";
import { INODE_ROW_BYTES, type CatalogLayer } from "./catalog-session.ts";
import { INODE_ID_BYTES, type InodeId } from "../ids.ts";
import type { StoreLayout } from "../layout.ts";

const DIGEST_BYTES = 32;
const HEAD_BYTES: number = 2 * DIGEST_BYTES;
const NOTHING = new Uint8Array(0);

interface PendingFile {
  readonly path: string;
  /** Undefined when it is damaged. A catalog that lacks a layer gets it from the sidecar before anything is collected. */
  readonly layer: CatalogLayer | undefined;
}

export class PendingEdges {
  readonly #layout: StoreLayout;

  constructor(layout: StoreLayout) {
    this.#layout = layout;
  }

  get isEmpty(): boolean {
    return this.#names().length === 0;
  }

  /** `staged` is a path in staging that nothing has. */
  add({ diffId, inodes }: CatalogLayer, staged: string): void {
    const hex = diffId.slice("sha256:".length);
    const body = Buffer.concat([Buffer.from(hex, "hex"), inodes]);
    try {
      writeFileSync(staged, Buffer.concat([hash("sha256", body, "buffer"), body]), { flag: "wx", mode: 0o600 });
      makeDirectory(this.#layout.edges);
      renameSync(staged, this.#layout.pendingEdges(diffId, randomBytes(8).toString("hex")));
    } catch (error) {
      rmSync(staged, { force: true });
      throw error;
    }
  }

  *files(): Generator<PendingFile> {
    for (const name of this.#names()) {
      const path = join(this.#layout.edges, name);
      yield { path, layer: decode(readIfThere(path)) };
    }
  }

  /** Its layer is entered, or it says nothing. */
  remove({ path }: PendingFile): void {
    rmSync(path, { force: true });
  }

  /** Those of these inodes that a waiting layer uses, as latin1. */
  among(ids: readonly InodeId[]): ReadonlySet<string> {
    const found = new Set<string>();
    if (this.isEmpty) return found;
    const wanted = new Set(ids.map((id) => latin1(id, 0)));
    for (const { layer } of this.files()) {
      const inodes = layer?.inodes ?? NOTHING;
      for (let row = 0; row < inodes.length; row += INODE_ROW_BYTES) {
        const id = latin1(inodes, row);
        if (wanted.has(id)) found.add(id);
      }
    }
    return found;
  }

  #names(): readonly string[] {
    return namesIn(this.#layout.edges);
  }
}

function decode(bytes: Buffer | undefined): CatalogLayer | undefined {
  if (!bytes || bytes.length < HEAD_BYTES || (bytes.length - HEAD_BYTES) % INODE_ROW_BYTES !== 0) return undefined;
  const body = bytes.subarray(DIGEST_BYTES);
  if (hash("sha256", body, "buffer").compare(bytes, 0, DIGEST_BYTES) !== 0) return undefined;
  const diffId: DiffId = parseDiffId(`sha256:${body.toString("hex", 0, DIGEST_BYTES)}`);
  return { diffId, inodes: body.subarray(DIGEST_BYTES) };
}

/** Undefined also for what is no file. */
function readIfThere(path: string): Buffer | undefined {
  const fd = openIfThere(path);
  if (fd === undefined) return undefined;
  try {
    return readFileSync(fd);
  } catch (error) {
    if (isErrno(error, "EISDIR")) return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** An id as `among` gives it. */
function latin1(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, INODE_ID_BYTES).toString("latin1");
}
