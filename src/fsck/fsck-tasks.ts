/** The tasks of fsck that run in worker threads: all that read much data, hash, or visit many names. */
import { createReadStream, lstatSync, statSync } from "node:fs";
import { decodeHeaders, HeadersError, Sidecar, SidecarError, verifySidecar } from "../../format/index.ts";
import { fsPath, showBytes, toByteString, type ByteString, type Unshared } from "../bytes.ts";
import { isErrno, ShaleError } from "../errors.ts";
import { exportLayer, type ExportRequest } from "../export/export-layer.ts";
import type { DiffId } from "../image/digest.ts";
import { INODE_ID_BYTES, inodeNameOf, type InodeName } from "../store/ids.ts";
import { chunkPath } from "../store/layout.ts";
import type { Owner, Profile } from "../store/profile.ts";
import type { Handled, Handlers, Task } from "../system/worker-pool.ts";
import { checkTree, type TreeDifference } from "../tree/check-tree.ts";
import { LayerInodes } from "../tree/layer-inodes.ts";
import { TreePlan, type TreeTask } from "../tree/tree-plan.ts";
import { checkChunk, expectedInode, type ChunkFault } from "./check-chunk.ts";
import type { FindingKind } from "./finding.ts";
import { repairChunk, type RepairRequest } from "./repair-chunk.ts";

export interface LayerRequest {
  readonly diffId: DiffId;
  readonly sidecar: string;
  readonly headers: string;
  readonly owner: Owner;
  /** The native profile first. */
  readonly profiles: readonly Profile[];
  /** Also decode the headers. */
  readonly deep: boolean;
}

export interface LayerFault {
  readonly kind: Extract<FindingKind, `sidecar-${string}` | `headers-${string}`>;
  readonly found: string;
  readonly offset?: number;
}

/** The inodes of one profile: ids (INODE_ID_BYTES each, sorted, without duplicates), and for each id an entry that has it. */
export interface InodeTable {
  readonly ids: Unshared<Uint8Array>;
  readonly entries: Unshared<Uint32Array>;
}

export interface CheckedLayer {
  readonly fault?: LayerFault;
  /** One for each profile; empty if there is a fault. */
  readonly tables: readonly InodeTable[];
  readonly live: number;
}

export interface ChunksRequest {
  readonly sidecar: string;
  readonly chunks: string;
  readonly profile: Profile;
  readonly owner: Owner;
  /** Entry and ordinal, alternating. */
  readonly inodes: Uint32Array;
  readonly deep: boolean;
}

export interface FoundFault extends ChunkFault {
  readonly entry: number;
  readonly ordinal: number;
  readonly inode: InodeName;
}

export interface UsesRequest {
  readonly sidecar: string;
  readonly profile: Profile;
  readonly owner: Owner;
  readonly inodes: readonly InodeName[];
}

export interface CheckedTree {
  readonly count: number;
  /** The first differences, with escaped paths. */
  readonly differences: readonly (Omit<TreeDifference, "path"> & { readonly path: string })[];
}

const SHOWN_DIFFERENCES = 100;

export interface FsckTaskMap {
  "fsck/layer": Task<LayerRequest, CheckedLayer>;
  "fsck/chunks": Task<ChunksRequest, FoundFault[]>;
  /** The paths of each inode, by its id in hex. */
  "fsck/uses": Task<UsesRequest, Record<string, string[]>>;
  "fsck/tree": Task<TreeTask, CheckedTree>;
  /** Undefined if the layer is intact. */
  "fsck/rebuild": Task<ExportRequest, { expected: string; found: string } | undefined>;
  /** True if the chunk was repaired. */
  "fsck/repair-chunk": Task<RepairRequest, boolean>;
}

export class FsckTasks {
  readonly handlers: Handlers<FsckTaskMap> = {
    "fsck/layer": checkLayer,
    "fsck/chunks": async (request: ChunksRequest) => ({ value: checkChunks(request, await this.#open(request.sidecar)) }),
    "fsck/uses": async (request: UsesRequest) => ({ value: findUses(request, await this.#open(request.sidecar)) }),
    "fsck/tree": async (task: TreeTask) => ({ value: compareTree(task, await this.#open(task.sidecar)) }),
    "fsck/rebuild": async (request: ExportRequest) => ({ value: await rebuild(request) }),
    "fsck/repair-chunk": async (request: RepairRequest) => ({ value: repairChunk(request, await this.#open(request.sidecar)) }),
  };
  /** The sidecar of the last request: many consecutive requests concern the same layer. */
  #current: { readonly key: string; readonly sidecar: Sidecar } | undefined;

  async #open(path: string): Promise<Sidecar> {
    const { ino, mtimeMs } = statSync(path);
    const key = `${ino} ${mtimeMs} ${path}`;
    if (this.#current?.key === key) return this.#current.sidecar;
    this.#current?.sidecar.close();
    this.#current = undefined;
    const sidecar = await Sidecar.openFile(path);
    this.#current = { key, sidecar };
    return sidecar;
  }
}

async function checkLayer(request: LayerRequest): Promise<Handled<CheckedLayer>> {
  const fault = (await sidecarFault(request)) ?? (await headersFault(request));
  if (fault) return { value: { fault, tables: [], live: 0 } satisfies CheckedLayer };
  using sidecar = await Sidecar.openFile(request.sidecar);
  const tables = request.profiles.map((profile) => tableOf(new LayerInodes(sidecar, profile, request.owner)));
  const checked: CheckedLayer = { tables, live: sidecar.live };
  return { value: checked, transfer: tables.flatMap(({ ids, entries }) => [ids.buffer, entries.buffer]) };
}

async function sidecarFault({ sidecar, diffId }: LayerRequest): Promise<LayerFault | undefined> {
  try {
    const verified = await verifySidecar(sidecar);
    const found = `sha256:${verified.diffId.toString("hex")}`;
    return found === diffId ? undefined : { kind: "sidecar-invalid", found: `belongs to ${found}` };
  } catch (error) {
    if (error instanceof SidecarError) return { kind: "sidecar-invalid", found: error.message, offset: error.offset };
    if (isErrno(error, "ENOENT", "EISDIR")) return { kind: "sidecar-missing", found: "missing" };
    throw error;
  }
}

async function headersFault({ headers, diffId, deep }: LayerRequest): Promise<LayerFault | undefined> {
  if (!lstatSync(headers, { throwIfNoEntry: false })?.isFile()) return { kind: "headers-missing", found: "missing" };
  if (!deep) return undefined;
  try {
    for await (const _ of decodeHeaders(createReadStream(headers), Buffer.from(diffId.slice(7), "hex"))) void _;
    return undefined;
  } catch (error) {
    if (error instanceof HeadersError) return { kind: "headers-invalid", found: error.message, offset: error.offset };
    throw error;
  }
}

function tableOf(inodes: LayerInodes): InodeTable {
  const { sidecar } = inodes;
  const unique = new Map<string, number>();
  for (let entry = 1; entry < sidecar.count; entry++) {
    if (sidecar.chunk(entry) < 0) continue;
    const id = inodes.inode(entry).toString("latin1");
    if (!unique.has(id)) unique.set(id, entry);
  }
  const sorted = [...unique].sort(([a], [b]) => (a < b ? -1 : 1));
  const ids = Buffer.from(new ArrayBuffer(sorted.length * INODE_ID_BYTES));
  sorted.forEach(([id], row) => ids.write(id, row * INODE_ID_BYTES, "latin1"));
  return { ids: ids as Uint8Array as Unshared<Uint8Array>, entries: Uint32Array.from(sorted, ([, entry]) => entry) };
}

function checkChunks({ chunks, profile, owner, inodes: wanted, deep }: ChunksRequest, sidecar: Sidecar): FoundFault[] {
  const inodes = new LayerInodes(sidecar, profile, owner);
  const faults: FoundFault[] = [];
  for (let at = 0; at < wanted.length; at += 2) {
    const [entry, ordinal] = [wanted[at]!, wanted[at + 1]!];
    const inode = inodes.inode(entry);
    const found = checkChunk(toByteString(chunkPath(chunks, inode, ordinal)), expectedInode(inodes, entry), deep);
    for (const one of found) faults.push({ ...one, entry, ordinal, inode: inodeNameOf(inode) });
  }
  return faults;
}

/** Returns the live paths (byte strings) of the regular files that have these inodes. */
function findUses({ profile, owner, inodes: wanted }: UsesRequest, sidecar: Sidecar): Record<InodeName, string[]> {
  const inodes = new LayerInodes(sidecar, profile, owner);
  const uses = Object.fromEntries(wanted.map((inode) => [inode, [] as string[]])) as Record<InodeName, string[]>;
  for (let entry = 1; entry < sidecar.live; entry++) {
    if (inodes.isLinked(entry)) uses[inodeNameOf(inodes.inode(entry))]?.push(sidecar.path(entry));
  }
  return uses;
}

function compareTree(task: TreeTask, sidecar: Sidecar): CheckedTree {
  let count = 0;
  const differences: CheckedTree["differences"][number][] = [];
  if (!lstatSync(fsPath(toByteString(task.tree)), { throwIfNoEntry: false })?.isDirectory()) {
    return { count: 1, differences: [{ path: "", kind: "type", expected: "a directory", found: "something else" }] };
  }
  for (const difference of checkTree(new TreePlan(task, sidecar), { xattrs: true })) {
    if (count++ >= SHOWN_DIFFERENCES) continue;
    const { kind, path, expected, found } = difference;
    const [want, have] = [expected, found].map((text) => showBytes(text as ByteString, 200));
    differences.push({ kind, path: showBytes(path), expected: want!, found: have! });
  }
  return { count, differences };
}

/** Rebuilds the layer. Returns what is wrong with it, or undefined if it is intact. */
async function rebuild(request: ExportRequest): Promise<{ expected: string; found: string } | undefined> {
  try {
    for await (const _ of exportLayer(request)) void _;
    return undefined;
  } catch (error) {
    if (ShaleError.is(error, "DIGEST_MISMATCH")) return { expected: error.detail.expected, found: error.detail.actual };
    if (ShaleError.is(error)) return { expected: request.diffId, found: error.message };
    throw error;
  }
}
