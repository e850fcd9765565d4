/**
 * Which files of chunks/ a layer may take along when it goes: its inodes, and what there is of further ordinals and of forms in other
 * profiles. Nothing records those, so they are looked for: each by its name or, where the layer is much of the store, by reading all names.
 */
import { existsSync, readdirSync } from "node:fs";
import { INODE_ROW_BYTES } from "../store/catalog/catalog-session.ts";
import { base32, INODE_ID_BYTES } from "../store/inode.ts";
import { chunkPath } from "../store/layout.ts";
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

/** What a row's file is in another profile. */
export interface Form {
  readonly row: number;
  /** 20 bytes. */
  readonly id: Uint8Array;
  /** Those that are there. */
  readonly ordinals: readonly number[];
}

export interface FoundChunks {
  /** As in the catalog, in the order of the ids. */
  readonly rows: Uint8Array;
  /** By row: what is there of its inode but ordinal 0. */
  readonly ordinals: ReadonlyMap<number, readonly number[]>;
  /** In the order of the rows; none without a file. */
  readonly forms: readonly Form[];
}

interface Search {
  /** The store's chunks/. */
  readonly chunks: string;
  /** 20 bytes each: of each row its inode, then its forms. */
  readonly ids: Buffer;
  /** Ids of a row. */
  readonly width: number;
}

/** By place in a search's `ids`: the ordinals that are there, ordinal 0 of a row's own inode left out. */
type Found = Map<number, number[]>;

/** @throws SIDECAR_INVALID */
export async function findChunks(request: FindChunksRequest): Promise<FoundChunks> {
  const { rows, ...search } = await readIds(request);
  return { rows, ...byRow(search, readNames(search) ?? tryNames(search)) };
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
    else forms.push({ row, id: Uint8Array.from(idAt(ids, index)), ordinals: list });
  }
  return { ordinals, forms };
}

/** Names that are read in the time of one that is tried; what it costs to read a directory at all; names tried for each id. */
const NAMES_A_TRY = 4;
const DIRECTORY = 50;
const TRIES = 2;

/** Undefined where it would take longer than to try the names. */
function readNames({ chunks, ids, width }: Search): Found | undefined {
  const count = ids.length / INODE_ID_BYTES;
  const most = count * TRIES * NAMES_A_TRY;
  const shards = readdirSync(chunks, { withFileTypes: true }).filter((entry) => /^[a-z2-7]{2}$/.test(entry.name) && entry.isDirectory());
  if (shards.length * DIRECTORY > most) return undefined;
  const wanted = new Map<string, number>();
  // a form that is another row's inode is that row's
  for (let first = width - 1; first >= 0; first--)
    for (let index = first; index < count; index += width) wanted.set(base32(idAt(ids, index)), index);
  const found: Found = new Map();
  let read = 0;
  for (const [at, { name: shard }] of shards.entries()) {
    const names = readdirSync(`${chunks}/${shard}`);
    read += names.length + DIRECTORY;
    // ids are digests: the directories that are left are like those that were read
    if ((read / (at + 1)) * shards.length > most) return undefined;
    for (const name of names) {
      const index = wanted.get(shard + name.slice(0, 30));
      const ordinal = name.length === 30 ? 0 : Number(/^\.([1-9]\d{0,9})$/.exec(name.slice(30))?.[1]);
      if (index === undefined || Number.isNaN(ordinal) || (ordinal === 0 && index % width === 0)) continue;
      const list = found.get(index);
      if (list) list.push(ordinal);
      else found.set(index, [ordinal]);
    }
  }
  return found;
}

/** Ordinals are made without gaps, but for those that EMLINK moved. */
function tryNames({ chunks, ids, width }: Search): Found {
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

/** Where the ordinals begin that stand for those that took no more links. */
const OVERFLOW = 1_000_000;

function idAt(ids: Buffer, index: number): Buffer {
  return ids.subarray(index * INODE_ID_BYTES, (index + 1) * INODE_ID_BYTES);
}
