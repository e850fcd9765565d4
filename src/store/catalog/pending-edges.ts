/**
 * Edges that LevelDB does not have yet. A pull writes them to edges/ before it publishes their layer, so it need not wait for the database.
 * The next session enters them first. One file per layer: format/store.md, "LevelDB".
 */
import { hash, randomBytes } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeMap, tryDecodeMap, type Schema } from "../../../format/msgpack.ts";
import { isErrno } from "../../errors.ts";
import { digestHex, parseDiffId } from "../../image/digest.ts";
import { makeDirectory } from "../../system/make-directory.ts";
import { namesIn } from "../../system/names-in.ts";
import { readIfExists } from "../../system/existing-file.ts";
import { INODE_ROW_BYTES, type CatalogLayer } from "./catalog-session.ts";
import { INODE_ID_BYTES, type InodeId } from "../ids.ts";
import type { StoreLayout } from "../layout.ts";

const DIGEST_BYTES = 32;
const EDGES = { diffId: "bin", inodes: "bin" } as const satisfies Schema;
const NOTHING = new Uint8Array(0);

interface PendingFile {
  readonly path: string;
  /** Undefined if the file is damaged. gc adds a layer that the catalog lacks from its sidecar before it deletes anything. */
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

  /** `staged` is an unused path in staging. */
  add({ diffId, inodes }: CatalogLayer, staged: string): void {
    const body = encodeMap(EDGES, { diffId: Buffer.from(digestHex(diffId), "hex"), inodes });
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
      yield { path, layer: readLayer(path) };
    }
  }

  /** Call it after the layer is entered, or if the file is damaged. */
  remove({ path }: PendingFile): void {
    rmSync(path, { force: true });
  }

  /** Returns those of these inodes that a pending layer uses, as latin1. */
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

/** Undefined for what is not an intact file of edges. */
function readLayer(path: string): CatalogLayer | undefined {
  try {
    return decode(readIfExists(path) ?? Buffer.alloc(0));
  } catch (error) {
    if (isErrno(error, "EISDIR")) return undefined;
    throw error;
  }
}

function decode(bytes: Buffer): CatalogLayer | undefined {
  const body = bytes.subarray(DIGEST_BYTES);
  if (bytes.length < DIGEST_BYTES || hash("sha256", body, "buffer").compare(bytes, 0, DIGEST_BYTES) !== 0) return undefined;
  const edges = tryDecodeMap(EDGES, body);
  if (edges?.diffId.length !== DIGEST_BYTES || edges.inodes.length % INODE_ROW_BYTES !== 0) return undefined;
  return { diffId: parseDiffId(`sha256:${Buffer.from(edges.diffId).toString("hex")}`), inodes: edges.inodes };
}

/** Returns an id in the form of `among`. */
function latin1(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, INODE_ID_BYTES).toString("latin1");
}
