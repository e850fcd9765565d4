/**
 * Composition: computes each layer's resolution, what its tree takes from the layers below. Two names of one image share an inode only if
 * the image has them as hard links. A directory that a layer only implies has the attributes of the nearest lower layer.
 */
import { CHUNK_ROW } from "../../format/columns.ts";
import { Flag, type Sidecar, type Xattr } from "../../format/index.ts";
import type { ByteString } from "../bytes.ts";
import { S_IFDIR, S_IFMT } from "../store/profile.ts";
import { pathOf, type LayerInodes } from "./layer-inodes.ts";
import { EMPTY_RESOLUTION, type Resolution, type ResolvedDirectory, type ResolvedFile } from "./resolution.ts";

/** Resolutions in the order of `layers`, bottom to top. */
export function composeImage(layers: readonly LayerInodes[]): Resolution[] {
  if (layers.length < 2) return layers.map(() => EMPTY_RESOLUTION);
  const shared = sharedChunks(layers);
  const users = new Map<string, LowerUse>();
  const implied: Map<ByteString, ResolvedDirectory>[] = [];
  return layers.map((inodes, index) => {
    const directories = resolveDirectories(layers.slice(0, index), inodes, implied);
    return { directories, files: resolveFiles(inodes, shared[index]!, users) };
  });
}

/** Marks a slot that several layers use. Layers are numbered from 1. */
const SEVERAL = 0xffff;
/** Slots per chunk: enough that few chunks share one. */
const SLOTS = 8;

/**
 * For each layer, by row of its chunk table: 1 for a chunk that another layer may have too. Only files of such chunks can share an inode across
 * layers. Compares some bits of the chunk ids only, so unequal chunks may be marked, which costs time but is not wrong.
 */
function sharedChunks(layers: readonly LayerInodes[]): Uint8Array[] {
  const tables = layers.map(({ sidecar }) => sidecar.chunkTable());
  const bytes = tables.reduce((sum, { length }) => sum + length, CHUNK_ROW);
  const slots = new Uint16Array(2 ** Math.ceil(Math.log2((bytes / CHUNK_ROW) * SLOTS)));
  const slotAt = (table: Buffer, row: number): number => table.readUInt32LE(row * CHUNK_ROW) & (slots.length - 1);
  tables.forEach((table, layer) => {
    for (let row = 0; row < table.length / CHUNK_ROW; row++) {
      const slot = slotAt(table, row);
      slots[slot] = slots[slot] === 0 || slots[slot] === layer + 1 ? layer + 1 : SEVERAL;
    }
  });
  return tables.map((table) => {
    const shared = new Uint8Array(table.length / CHUNK_ROW);
    for (let row = 0; row < shared.length; row++) shared[row] = Number(slots[slotAt(table, row)] === SEVERAL);
    return shared;
  });
}

/** The ordinals of one inode that lower layers use, each with its paths there. */
interface LowerUse {
  readonly paths: Map<number, Set<ByteString>>;
  readonly ordinals: Map<ByteString, number>;
}

function resolveFiles(inodes: LayerInodes, shared: Uint8Array, users: Map<string, LowerUse>): ResolvedFile[] {
  const { chunks } = inodes.columns;
  const candidates = inodes.entries.linked.filter((entry) => shared[chunks[entry]!] === 1);
  if (candidates.length === 0) return [];
  const { sidecar, ordinals: alone } = inodes;
  const names = groupNames(sidecar);
  const here = new Map<string, { taken: Set<number>; next: number; files: { paths: readonly ByteString[]; ordinal: number }[] }>();
  const changed: ResolvedFile[] = [];
  for (const entry of candidates) {
    const key = inodes.inodeByColumns(entry).toString("latin1");
    const lower = users.get(key);
    let own = here.get(key);
    if (!own) here.set(key, (own = { taken: new Set(), next: 0, files: [] }));
    const paths = names.get(entry) ?? [pathOf(sidecar, entry)];
    let ordinal = samePlace(lower, paths);
    if (ordinal === undefined || own.taken.has(ordinal)) {
      while (own.taken.has(own.next) || lower?.paths.has(own.next)) own.next++;
      ordinal = own.next;
    }
    own.taken.add(ordinal);
    own.files.push({ paths, ordinal });
    if (ordinal !== (alone.get(entry) ?? 0)) changed.push({ path: paths[0]!, ordinal });
  }
  for (const [key, { files }] of here) remember(users, key, files);
  return changed;
}

/** An ordinal that lower layers use only at this path: the upper file hides it, so both may share the inode. */
function samePlace(lower: LowerUse | undefined, paths: readonly ByteString[]): number | undefined {
  const ordinal = lower?.ordinals.get(paths[0]!);
  if (ordinal === undefined) return undefined;
  return [...lower!.paths.get(ordinal)!].every((path) => paths.includes(path)) ? ordinal : undefined;
}

function remember(users: Map<string, LowerUse>, key: string, files: readonly { paths: readonly ByteString[]; ordinal: number }[]): void {
  let use = users.get(key);
  if (!use) users.set(key, (use = { paths: new Map(), ordinals: new Map() }));
  for (const { paths, ordinal } of files) {
    let known = use.paths.get(ordinal);
    if (!known) use.paths.set(ordinal, (known = new Set()));
    for (const path of paths) {
      known.add(path);
      use.ordinals.set(path, ordinal);
    }
  }
}

/** All names of each hard-link group by the leader's entry; the leader comes first. */
function groupNames(sidecar: Sidecar): Map<number, ByteString[]> {
  const names = new Map<number, ByteString[]>();
  for (let row = 0; row < sidecar.hardLinkCount; row++) {
    const [entry, leader] = sidecar.hardLinkAt(row);
    const group = names.get(leader);
    if (group) group.push(pathOf(sidecar, entry));
    else names.set(leader, [pathOf(sidecar, entry)]);
  }
  return names;
}

const NO_XATTRS: readonly Xattr[] = [];

function resolveDirectories(
  lower: readonly LayerInodes[],
  { sidecar, entries }: LayerInodes,
  implied: Map<ByteString, ResolvedDirectory>[],
): ResolvedDirectory[] {
  const own = new Map<ByteString, ResolvedDirectory>();
  implied.push(own);
  if (lower.length === 0) return [];
  const sidecars = lower.map((layer) => layer.sidecar);
  for (const entry of entries.implied) {
    const path = pathOf(sidecar, entry);
    const found = nearestDirectory(sidecars, path, implied);
    if (found && !isDefault(found)) own.set(path, found);
  }
  return [...own.values()];
}

/** The directory of the lower layers at a path; undefined if they have none there, or another kind of file. */
function nearestDirectory(
  lower: readonly Sidecar[],
  path: ByteString,
  implied: readonly Map<ByteString, ResolvedDirectory>[],
): ResolvedDirectory | undefined {
  for (let layer = lower.length - 1; layer >= 0; layer--) {
    const sidecar = lower[layer]!;
    const entry = sidecar.lookup(path);
    if (entry >= 0) {
      if ((sidecar.mode(entry) & S_IFMT) !== S_IFDIR) return undefined;
      if ((sidecar.flags(entry) & Flag.implicit) !== 0) return implied[layer]!.get(path);
      const { mode, uid, gid, xattrs } = sidecar.modeAt(sidecar.modeRow(entry));
      return { path, mode: mode & 0o7777, uid, gid, xattrs: xattrs.length === 0 ? NO_XATTRS : xattrs };
    }
    if (hides(sidecar, path)) return undefined;
  }
  return undefined;
}

/** True if an ancestor of the path in this layer hides the lower layers there. */
export function hides(sidecar: Sidecar, path: ByteString): boolean {
  for (let ancestor: string = path; ancestor !== "";) {
    ancestor = ancestor.slice(0, Math.max(ancestor.lastIndexOf("/"), 0));
    const entry = sidecar.lookup(ancestor);
    if (entry < 0) continue;
    if ((sidecar.mode(entry) & S_IFMT) !== S_IFDIR || (sidecar.flags(entry) & Flag.opaque) !== 0) return true;
  }
  return false;
}

function isDefault({ mode, uid, gid, xattrs }: ResolvedDirectory): boolean {
  return mode === 0o755 && uid === 0 && gid === 0 && xattrs.length === 0;
}
