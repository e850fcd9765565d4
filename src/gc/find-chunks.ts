/**
 * Finds the files in chunks/ that may be deleted with a layer: its native inodes, their further ordinals, and their forms in other
 * profiles. Ordinals and forms are recorded nowhere. They are searched for by name or, if the layer is a large part of the store, by
 * reading all names.
 */
import { existsSync, readdirSync } from "node:fs";
import { INODE_ROW_BYTES } from "../store/catalog/catalog-session.ts";
import { INODE_ID_BYTES, inodeIdAt, inodeNameOf, type InodeId, type InodeName } from "../store/ids.ts";
import { chunkPath, isShard, parseLinkSource } from "../store/layout.ts";
import { PROFILES, type Owner, type Profile } from "../store/profile.ts";
import { LayerInodes } from "../tree/layer-inodes.ts";
import { readSidecar } from "../tree/read-sidecar.ts";

export interface FindChunksRequest {
  readonly sidecar: string;
  readonly native: Profile;
  readonly owner: Owner;
  /** The store's chunks/. */
  readonly chunks: string;
}

/** The inode of a row in another profile. */
export interface Form {
  readonly row: number;
  readonly id: InodeId;
  /** Those that exist. */
  readonly ordinals: readonly number[];
}

export interface FoundChunks {
  /** The rows of the catalog, sorted by inode id. */
  readonly rows: Uint8Array;
  /** By row: the existing ordinals of its inode, without ordinal 0. */
  readonly ordinals: ReadonlyMap<number, readonly number[]>;
  /** In the order of the rows. A form without a file is left out. */
  readonly forms: readonly Form[];
}

interface Search {
  /** The store's chunks/. */
  readonly chunks: string;
  /** 20 bytes each: for each row its native inode, then its forms. */
  readonly ids: Buffer;
  /** Number of ids per row. */
  readonly width: number;
}

/** By index in `ids`: the existing ordinals, without ordinal 0 of a row's native inode. */
type Found = Map<number, number[]>;

/** @throws SIDECAR_INVALID */
export async function findChunks(request: FindChunksRequest): Promise<FoundChunks> {
  const { rows, ...search } = await readIds(request);
  return { rows, ...byRow(search, readNames(search) ?? lookUpNames(search)) };
}

async function readIds({ sidecar: path, native, owner, chunks }: FindChunksRequest): Promise<Search & Pick<FoundChunks, "rows">> {
  const sidecar = await readSidecar(path);
  const profiles = [native, ...PROFILES.filter((profile) => profile !== native)];
  const [inodes, ...others] = profiles.map((profile) => new LayerInodes(sidecar, profile, owner));
  const entries = new Map<string, number>();
  for (let entry = 1; entry < sidecar.count; entry++)
    if (sidecar.chunk(entry) >= 0) entries.set(inodes!.inode(entry).toString("latin1"), entry);
  const rows = Buffer.from(new ArrayBuffer(entries.size * INODE_ROW_BYTES));
  const ids = Buffer.allocUnsafe(entries.size * profiles.length * INODE_ID_BYTES);
  let [row, at] = [0, 0];
  for (const id of [...entries.keys()].sort()) {
    const entry = entries.get(id)!;
    rows.write(id, row, "latin1");
    rows.writeUIntLE(sidecar.size(entry), row + INODE_ID_BYTES, 6);
    row += INODE_ROW_BYTES;
    at += ids.write(id, at, "latin1");
    for (const other of others) at += other.inode(entry).copy(ids, at);
  }
  return { rows, chunks, ids, width: profiles.length };
}

function byRow({ ids, width }: Search, found: Found): Pick<FoundChunks, "ordinals" | "forms"> {
  const ordinals = new Map<number, readonly number[]>();
  const forms: Form[] = [];
  for (const [index, list] of [...found].sort(([a], [b]) => a - b)) {
    const row = Math.floor(index / width);
    if (index % width === 0) ordinals.set(row, list);
    else forms.push({ row, id: inodeIdAt(Uint8Array.from(idAt(ids, index)), 0), ordinals: list });
  }
  return { ordinals, forms };
}

/** Costs, in names read from a directory: one lookup by name, and opening one directory. */
const LOOKUP_COST = 4;
const DIRECTORY_COST = 50;
/** Lookups by name for each id. */
const LOOKUPS = 2;

/** Returns undefined if reading all names would take longer than looking each id up. */
function readNames({ chunks, ids, width }: Search): Found | undefined {
  const count = ids.length / INODE_ID_BYTES;
  const most = count * LOOKUPS * LOOKUP_COST;
  const shards = readdirSync(chunks, { withFileTypes: true }).filter((entry) => isShard(entry.name) && entry.isDirectory());
  if (shards.length * DIRECTORY_COST > most) return undefined;
  const wanted = new Map<InodeName, number>();
  // if a form is also the native inode of another row, the file belongs to that row
  for (let first = width - 1; first >= 0; first--)
    for (let index = first; index < count; index += width) wanted.set(inodeNameOf(idAt(ids, index)), index);
  const found: Found = new Map();
  let read = 0;
  for (const [at, { name: shard }] of shards.entries()) {
    const names = readdirSync(`${chunks}/${shard}`);
    read += names.length + DIRECTORY_COST;
    // ids are digests, so the remaining directories are about as large as those already read
    if ((read / (at + 1)) * shards.length > most) return undefined;
    for (const name of names) {
      const source = parseLinkSource(shard, name);
      const index = source && wanted.get(source.inode);
      if (index === undefined || (source!.ordinal === 0 && index % width === 0)) continue;
      const { ordinal } = source!;
      const list = found.get(index);
      if (list) list.push(ordinal);
      else found.set(index, [ordinal]);
    }
  }
  return found;
}

/** Ordinals have no gaps, except for those that start at OVERFLOW. */
function lookUpNames({ chunks, ids, width }: Search): Found {
  const found: Found = new Map();
  for (let index = 0; index * INODE_ID_BYTES < ids.length; index++) {
    const path = chunkPath(chunks, idAt(ids, index));
    const list = index % width > 0 && existsSync(path) ? [0] : [];
    for (let ordinal = 1; existsSync(`${path}.${ordinal}`); ordinal++) list.push(ordinal);
    if (index % width === 0 || list.length > 0)
      for (let ordinal = OVERFLOW; existsSync(`${path}.${ordinal}`); ordinal++) list.push(ordinal);
    if (list.length > 0) found.set(index, list);
  }
  return found;
}

/** First ordinal of the files that replace ordinals without room for another link (EMLINK). */
const OVERFLOW = 1_000_000;

function idAt(ids: Buffer, index: number): InodeId {
  return inodeIdAt(ids, index * INODE_ID_BYTES);
}
