/** The operations on an open catalog. Keys and values: format/store.md, "LevelDB". */
import type { Level } from "level";
import { ShaleError } from "../../errors.ts";
import { parseDiffId, type DiffId } from "../../image/digest.ts";
import { decodeMap, decodeUint, encodeMap, encodeUint, type Schema } from "../../../format/msgpack.ts";
import { EdgeReader } from "./edge-reader.ts";
import { INODE_ID_BYTES, inodeIdAt, type InodeId } from "../ids.ts";

/** Bytes of one row per inode: its id (20 bytes), then its size in bytes (u48, little-endian). */
export const INODE_ROW_BYTES: number = INODE_ID_BYTES + 6;

export interface CatalogLayer {
  readonly diffId: DiffId;
  /** Rows of INODE_ROW_BYTES. */
  readonly inodes: Uint8Array;
}

export interface CatalogInode {
  readonly id: InodeId;
  /** Bytes of content. */
  readonly size: number;
  readonly layers: readonly DiffId[];
}

/** The inodes of counted layers, each counted once. */
export interface CountedContents {
  readonly chunks: number;
  readonly bytes: number;
}

/** Number of keys that are written in one turn of the event loop. */
const BATCH = 4000;
const COUNTED: Buffer = Buffer.from("m:counted");
const COUNTS = { chunks: "uint", bytes: "uint" } as const satisfies Schema;
const LAYER = { inodes: "uint" } as const satisfies Schema;

export class CatalogSession {
  readonly #database: Level<Buffer, Buffer>;
  readonly #names = new Map<string, DiffId>();

  constructor(database: Level<Buffer, Buffer>) {
    this.#database = database;
  }

  async addLayer({ diffId, inodes }: CatalogLayer): Promise<void> {
    const layer = bytesOf(diffId);
    for (let start = 0; start < inodes.length; start += BATCH * INODE_ROW_BYTES) {
      const rows = inodes.subarray(start, start + BATCH * INODE_ROW_BYTES);
      const batch = this.#database.batch();
      for (let row = 0; row < rows.length; row += INODE_ROW_BYTES) {
        const id = inodeIdAt(rows, row);
        batch.put(edgeKey(id, layer), encodeUint(sizeAt(rows, row)));
      }
      await batch.write();
    }
    await this.#database.put(key("l", layer), encodeMap(LAYER, { inodes: inodes.length / INODE_ROW_BYTES }));
  }

  /** Returns the layers that use an inode. */
  async layersOf(inodeId: InodeId): Promise<DiffId[]> {
    const keys = await this.#database.keys({ gte: edgeKey(inodeId, NONE), lte: edgeKey(inodeId, LAST) }).all();
    return keys.map((edge) => this.#layerOf(edge));
  }

  /** Returns the indexes of the inodes that no layer outside `gone` uses. Fastest if the ids are sorted. */
  async unusedWithout(inodeIds: readonly InodeId[], gone: ReadonlySet<DiffId>): Promise<number[]> {
    const unused: number[] = [];
    await using edges = new EdgeReader(this.#database.keys({ gte: FIRST_EDGE, lt: AFTER_EDGES, highWaterMarkBytes: 1 << 16 }));
    for (const [index, id] of inodeIds.entries()) {
      if (!(await edges.some(id, (edge) => !gone.has(this.#layerOf(edge))))) unused.push(index);
    }
    return unused;
  }

  /** Deletes a layer's edges to these inodes (rows of INODE_ROW_BYTES). `dead` are the ids that no other layer uses. */
  async forgetEdges(diffId: DiffId, rows: Uint8Array, dead: readonly InodeId[]): Promise<void> {
    const layer = bytesOf(diffId);
    const before = await this.counted();
    const batch = this.#database.batch();
    for (let row = 0; row < rows.length; row += INODE_ROW_BYTES) batch.del(edgeKey(inodeIdAt(rows, row), layer));
    // most stores have no budget, so nothing was counted
    const counted = before.chunks === 0 ? [] : await this.#database.getMany(dead.map((id) => key("c", id)));
    let [chunks, bytes] = [0, 0];
    for (const [index, size] of counted.entries()) {
      if (!size) continue;
      batch.del(key("c", dead[index]!));
      chunks++;
      bytes += decodeUint(size, refuse);
    }
    if (chunks > 0) batch.put(COUNTED, encodeMap(COUNTS, { chunks: before.chunks - chunks, bytes: before.bytes - bytes }));
    await batch.write();
  }

  /** Deletes the records of a layer. Its edges must be deleted before. */
  async forgetLayer(diffId: DiffId): Promise<void> {
    const layer = bytesOf(diffId);
    await this.#database.batch().del(key("l", layer)).del(key("d", layer)).write();
  }

  /**
   * Visits the inodes after `after`, sorted by id, with the layers that use each, until `until` returns true. Returns the last id, with which
   * to continue; undefined at the end.
   */
  async inodesAfter(after: InodeId | undefined, until: () => boolean, visit: (inode: CatalogInode) => void): Promise<InodeId | undefined> {
    const from = after ? edgeKey(after, LAST) : FIRST_EDGE;
    const iterator = this.#database.iterator({ gt: from, lt: AFTER_EDGES, highWaterMarkBytes: 1 << 18 });
    let current: { id: InodeId; size: number; layers: DiffId[] } | undefined;
    try {
      for (let edges = await iterator.nextv(2000); edges.length > 0; edges = await iterator.nextv(2000)) {
        for (const [edge, value] of edges) {
          if (current && edge.compare(current.id, 0, INODE_ID_BYTES, 1, 1 + INODE_ID_BYTES) === 0) {
            current.layers.push(this.#layerOf(edge));
            continue;
          }
          if (current) visit(current);
          if (current && until()) return current.id;
          current = { id: inodeIdAt(edge, 1), size: decodeUint(value, refuse), layers: [this.#layerOf(edge)] };
        }
      }
    } finally {
      await iterator.close();
    }
    if (current) visit(current);
    return undefined;
  }

  /** Returns every layer of the catalog. */
  layers(): Promise<DiffId[]> {
    return this.#named("l");
  }

  /** Returns the layers whose inodes are all part of `counted()`. */
  countedLayers(): Promise<DiffId[]> {
    return this.#named("d");
  }

  /** Returns the chunks and bytes of all counted layers. */
  async counted(): Promise<CountedContents> {
    const value = await this.#database.get(COUNTED);
    return value ? decodeMap(COUNTS, value, refuse) : { chunks: 0, bytes: 0 };
  }

  /** Counts the inodes (rows) that are not counted yet. Returns the new count. */
  async countInodes(rows: Uint8Array): Promise<CountedContents> {
    const ids: Buffer[] = [];
    for (let row = 0; row < rows.length; row += INODE_ROW_BYTES) ids.push(key("c", inodeIdAt(rows, row)));
    const present = await this.#database.getMany(ids);
    let { chunks, bytes } = await this.counted();
    const batch = this.#database.batch();
    for (const [index, id] of ids.entries()) {
      if (present[index]) continue;
      const size = sizeAt(rows, index * INODE_ROW_BYTES);
      batch.put(id, encodeUint(size));
      chunks++;
      bytes += size;
    }
    batch.put(COUNTED, encodeMap(COUNTS, { chunks, bytes }));
    await batch.write();
    return { chunks, bytes };
  }

  /** Records that all inodes of a layer are counted. */
  async markCounted(diffId: DiffId): Promise<void> {
    await this.#database.put(key("d", bytesOf(diffId)), Buffer.alloc(0));
  }

  async #named(kind: "l" | "d"): Promise<DiffId[]> {
    const keys = await this.#database.keys({ gte: key(kind, NONE), lte: key(kind, LAST) }).all();
    return keys.map((name) => parseDiffId(`sha256:${name.toString("hex", 1)}`));
  }

  /** Caches parsed diff IDs: there are few layers and many edges. */
  #layerOf(edge: Buffer): DiffId {
    const raw = edge.toString("latin1", 1 + INODE_ID_BYTES);
    const known = this.#names.get(raw);
    if (known !== undefined) return known;
    const diffId = parseDiffId(`sha256:${Buffer.from(raw, "latin1").toString("hex")}`);
    this.#names.set(raw, diffId);
    return diffId;
  }
}

const NONE: Buffer = Buffer.alloc(32);
const LAST: Buffer = Buffer.alloc(32, 0xff);
const FIRST_EDGE: Buffer = Buffer.from("e");
const AFTER_EDGES: Buffer = Buffer.from("f");

function key(kind: "c" | "d" | "l", id: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(kind), id]);
}

function edgeKey(inodeId: InodeId, layer: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("e"), inodeId, layer]);
}

function bytesOf(diffId: DiffId): Buffer {
  return Buffer.from(diffId.slice(7), "hex");
}

/** The size in a row of INODE_ROW_BYTES. */
function sizeAt(rows: Uint8Array, row: number): number {
  const { buffer, byteOffset, byteLength } = rows;
  return Buffer.from(buffer, byteOffset, byteLength).readUIntLE(row + INODE_ID_BYTES, 6);
}

function refuse(why: string): Error {
  const message = `a value of the chunk index ${why}; run shale fsck --repair, which rebuilds the index`;
  return new ShaleError("STORE_DAMAGED", message, { path: "db" });
}
