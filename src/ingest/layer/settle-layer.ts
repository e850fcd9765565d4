/**
 * The last step of an ingest: the parts of all slabs become the layer's sidecar and headers, in a staged directory that is
 * ready to be published.
 */
import type { Unshared } from "../../bytes.ts";
import { closeSync, createReadStream, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { encodeHeadersStart } from "../../../format/headers-encoder.ts";
import type { DiffId } from "../../image/digest.ts";
import { chunkPath, HEADERS, SIDECAR } from "../../store/layout.ts";
import type { ChunkWriter } from "../chunks/chunk-writer.ts";
import { EntryTable } from "./entry-table.ts";
import type { Inode } from "./layer-inode.ts";
import type { LayerLimits } from "./layer-limits.ts";
import { LayerModel } from "./layer-model.ts";
import { numberContents, type RestoredInodes } from "./number-contents.ts";
import type { Part, StoredFile } from "./part.ts";
import { collectLiveNames } from "./live-names.ts";
import { stagedStates } from "./staged-states.ts";
import { fileAttributes } from "../chunks/stored-entry.ts";
import { writeSidecar, type SidecarInput } from "./write-sidecar.ts";

export interface SettleRequest {
  readonly diffId: DiffId;
  /** In sequence. */
  readonly parts: readonly Part[];
  /** An existing, empty directory in staging. */
  readonly directory: string;
  /** The layer's tree in staging. */
  readonly tree: string | undefined;
  readonly buildIndex: boolean;
  readonly limits: Pick<LayerLimits, "pathDepth" | "metadataBytes">;
  /** chunks/ of the store. */
  readonly chunks: string;
}

export interface SettledLayer {
  readonly entries: number;
  readonly sidecarBytes: number;
  /** Rows for the catalog: every inode that the layer uses. */
  readonly inodes: Unshared<Uint8Array>;
  /** What the staged tree has: see TreeTask. Undefined: none was asked for, or it is of no use. */
  readonly placed: SharedArrayBuffer | undefined;
}

export async function settleLayer(request: SettleRequest, writer: ChunkWriter): Promise<SettledLayer> {
  const diffId = Buffer.from(request.diffId.slice(7), "hex");
  writeHeaders(join(request.directory, HEADERS), diffId, request.parts);
  const entries = new EntryTable(request.parts);
  const model = new LayerModel(entries, request.limits).build();
  const { root, inodes } = model;
  const live = collectLiveNames(root, entries, request);
  const placed = request.tree === undefined ? undefined : stagedStates(live, { entries, model, tree: request.tree });
  const restored = await restoreAltered({ entries, live, inodes }, request.chunks, writer);
  const contents = numberContents(entries, restored);
  const { buildIndex: indexed, limits } = request;
  const sidecar = await writeSidecar({ diffId, indexed, pathDepth: limits.pathDepth, entries, live, inodes, contents });
  writeWhole(join(request.directory, SIDECAR), [sidecar.bytes]);
  return { entries: sidecar.entries, sidecarBytes: sidecar.bytes.length, inodes: contents.inodes, placed };
}

type LinkedNames = Pick<SidecarInput, "entries" | "live" | "inodes">;

/** The content of inodes whose attributes a hard link changed is stored once more, under the attributes they ended with. */
async function restoreAltered({ entries, live, inodes }: LinkedNames, chunks: string, writer: ChunkWriter): Promise<RestoredInodes> {
  const restored: Inode[] = [];
  const rows = new Set<number>();
  if (inodes.size === 0) return { inodes: restored, rows };
  for (const row of live.rows) {
    const inode = inodes.get(row);
    const stored = inode && entries.stored(inode.row);
    if (!inode || !stored) continue;
    if (inode.altered) {
      inode.restore(await storeAgain(inode, stored, { chunks, writer }));
      restored.push(inode);
    }
    if (inode.restored && inode.row === row) rows.add(row);
  }
  return { inodes: restored, rows };
}

async function storeAgain(inode: Inode, stored: StoredFile, store: { chunks: string; writer: ChunkWriter }): Promise<StoredFile> {
  const stream = store.writer.stream(fileAttributes(inode.attributes));
  try {
    for await (const piece of createReadStream(chunkPath(store.chunks, stored.inode))) stream.write(piece as Buffer);
  } catch (error) {
    stream.discard();
    throw error;
  }
  const again = stream.finish();
  if (!Buffer.from(again.chunk).equals(stored.chunk)) throw new RangeError("settle layer: a chunk is not what it was when it was made");
  return again;
}

function writeHeaders(path: string, diffId: Uint8Array, parts: readonly Part[]): void {
  writeWhole(path, [encodeHeadersStart(diffId), ...parts.map(({ frame }) => frame)]);
}

function writeWhole(path: string, pieces: readonly Uint8Array[]): void {
  const fd = openSync(path, "wx", 0o600);
  try {
    for (const piece of pieces) for (let done = 0; done < piece.length;) done += writeSync(fd, piece, done);
  } finally {
    closeSync(fd);
  }
}
