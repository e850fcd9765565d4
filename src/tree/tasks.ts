/** Worker tasks of trees: composition, and writing a tree in steps that several workers share. */
import { existsSync } from "node:fs";
import { indexSidecar } from "../../format/index.ts";
import type { DiffId } from "../image/digest.ts";
import type { Owner, Profile } from "../store/profile.ts";
import type { Handled, Handlers, Task } from "../system/worker-pool.ts";
import { INODE_ROW_BYTES } from "../store/catalog/catalog-session.ts";
import { inodeIdAt, type TreeId } from "../store/ids.ts";
import { chunkPath } from "../store/layout.ts";
import { checkTree } from "./check-tree.ts";
import { composeImage } from "./compose.ts";
import { LayerInodes } from "./layer-inodes.ts";
import type { Phase } from "./tree-phases.ts";
import { readSidecar, readingSidecar } from "./read-sidecar.ts";
import { treeId, type Resolution } from "./resolution.ts";
import { LinkSourceTrust } from "./link-source-trust.ts";
import { TreePlan, type TreeTask } from "./tree-plan.ts";
import { TreeWriter } from "./tree-writer.ts";
import { verifyLayer, type VerifyLayerRequest } from "./verify-layer.ts";

export interface ComposeRequest {
  /** Bottom to top. */
  readonly layers: readonly { readonly diffId: DiffId; readonly sidecar: string }[];
  readonly profile: Profile;
  readonly owner: Owner;
}

export interface ComposedLayer {
  readonly treeId: TreeId;
  readonly resolution: Resolution;
  /** Names in the tree, including the root. */
  readonly live: number;
}

export interface InodesRequest {
  readonly sidecar: string;
  readonly native: Profile;
  readonly owner: Owner;
}

export interface ChunksRequest {
  /** Rows of the catalog. */
  readonly rows: Uint8Array;
  readonly chunks: string;
}

/** `tree` must exist. */
export interface CheckTreeRequest extends TreeTask {
  /** Read files that a machine crash may have damaged. */
  readonly contents: boolean;
}

/** A step of one tree: the entries [from, to) in one phase. */
export interface TreeStep {
  readonly task: TreeTask;
  readonly phase: Phase;
  readonly from: number;
  readonly to: number;
}

export interface TreeTaskMap {
  "tree/compose": Task<ComposeRequest, ComposedLayer[]>;
  /** Rows of the catalog: every native inode of the layer. */
  "tree/inodes": Task<InodesRequest, Uint8Array>;
  "tree/chunks-there": Task<ChunksRequest, boolean>;
  /** True if the tree is right. */
  "tree/check": Task<CheckTreeRequest, boolean>;
  /** The indexed form of the sidecar at this path; undefined if it is indexed. */
  "tree/index": Task<string, Uint8Array | undefined>;
  /** True if the layer is intact. */
  "tree/verify-layer": Task<VerifyLayerRequest, boolean>;
  "tree/step": Task<TreeStep, undefined>;
}

export class TreeTasks {
  readonly handlers: Handlers<TreeTaskMap> = {
    "tree/compose": (request: ComposeRequest) => this.#compose(request),
    "tree/inodes": (request: InodesRequest) => inodesOf(request),
    "tree/chunks-there": (request: ChunksRequest) => ({ value: chunksAreThere(request) }),
    "tree/check": (request: CheckTreeRequest) => isRight(request),
    "tree/index": (sidecar: string) => index(sidecar),
    "tree/verify-layer": async (request: VerifyLayerRequest) => ({ value: await verifyLayer(request) }),
    "tree/step": (step: TreeStep) => this.#step(step),
  };
  readonly #name: string;
  /** The current tree: its sidecar is read once for all steps. */
  #current: { tree: string; writer: TreeWriter } | undefined;
  /** The last composed layers by sidecar, since their trees are created next. Weak, so memory pressure frees them. */
  readonly #composed = new Map<string, WeakRef<LayerInodes>>();

  /** `name` makes the temporary files of this worker unique. */
  constructor(name: string) {
    this.#name = name;
  }

  async #step({ task, phase, from, to }: TreeStep): Promise<Handled<undefined>> {
    if (this.#current?.tree !== task.tree) this.#current = { tree: task.tree, writer: new TreeWriter(await this.#plan(task), this.#name) };
    this.#current.writer.run(phase, from, to);
    return { value: undefined };
  }

  async #plan(task: TreeTask): Promise<TreePlan> {
    const known = this.#composed.get(task.sidecar)?.deref();
    return known?.profile === task.profile ? new TreePlan(task, known.sidecar, known) : new TreePlan(task, await readSidecar(task.sidecar));
  }

  async #compose({ layers, profile, owner }: ComposeRequest): Promise<Handled<ComposedLayer[]>> {
    const inodes: LayerInodes[] = [];
    for (const { sidecar } of layers) inodes.push(new LayerInodes(await readSidecar(sidecar), profile, owner));
    const resolutions = composeImage(inodes);
    this.#composed.clear();
    layers.forEach(({ sidecar }, index) => this.#composed.set(sidecar, new WeakRef(inodes[index]!)));
    const composed = layers.map(({ diffId }, index): ComposedLayer => {
      const resolution = resolutions[index]!;
      return { treeId: treeId(diffId, profile, resolution), resolution, live: inodes[index]!.sidecar.live };
    });
    return { value: composed };
  }
}

/** True if the tree on disk equals its plan, including extended attributes. */
async function isRight({ contents, ...task }: CheckTreeRequest): Promise<Handled<boolean>> {
  const trust = contents ? new LinkSourceTrust(task.chunks, task.trust) : undefined;
  const differences = checkTree(new TreePlan(task, await readSidecar(task.sidecar)), { xattrs: true, trust });
  return { value: differences.next().done === true };
}

/** The indexed form of an unindexed sidecar; undefined if it is indexed. */
async function index(path: string): Promise<Handled<Uint8Array | undefined>> {
  return { value: await readingSidecar(path, () => indexSidecar(path)) };
}

/** The layer's rows in the catalog: every native inode that it uses, including those of shadowed entries. */
async function inodesOf({ sidecar: path, native, owner }: InodesRequest): Promise<Handled<Uint8Array>> {
  const sidecar = await readSidecar(path);
  const inodes = new LayerInodes(sidecar, native, owner);
  const unique = new Map<string, number>();
  for (let entry = 1; entry < sidecar.count; entry++) {
    if (sidecar.chunk(entry) >= 0) unique.set(inodes.inode(entry).toString("latin1"), entry);
  }
  const rows = Buffer.from(new ArrayBuffer(unique.size * INODE_ROW_BYTES));
  let at = 0;
  for (const [inode, entry] of unique) {
    rows.write(inode, at, "latin1");
    rows.writeUIntLE(sidecar.size(entry), at + INODE_ROW_BYTES - 6, 6);
    at += INODE_ROW_BYTES;
  }
  return { value: rows, transfer: [rows.buffer] };
}

function chunksAreThere({ rows, chunks }: ChunksRequest): boolean {
  for (let row = 0; row < rows.length; row += INODE_ROW_BYTES) {
    if (!existsSync(chunkPath(chunks, inodeIdAt(rows, row)))) return false;
  }
  return true;
}
