/**
 * Rebuilds a layer byte for byte. The headers contain the bytes between the data of files; the sidecar names the chunk of each file's data.
 * See format/headers.md.
 */
import { createHash } from "node:crypto";
import { closeSync, createReadStream, read, readSync } from "node:fs";
import { promisify } from "node:util";
import { decodeHeaders, HeadersError, Sidecar, SidecarError, type HeadersOp } from "../../format/index.ts";
import { isErrno, ShaleError } from "../errors.ts";
import { digestMismatch, parseDiffId, type DiffId } from "../image/digest.ts";
import type { Owner, Profile } from "../store/profile.ts";
import { LayerInodes } from "../tree/layer-inodes.ts";
import { LayerContent } from "../tree/layer-content.ts";

export interface ExportRequest {
  readonly diffId: DiffId;
  readonly sidecar: string;
  readonly headers: string;
  readonly chunks: string;
  readonly native: Profile;
  readonly owner: Owner;
  readonly signal?: AbortSignal | undefined;
}

/** Approximate bytes of an output buffer; large files are read in such steps. */
const PIECE: number = 256 * 1024;
const readAsync = promisify(read);

/**
 * Yields the uncompressed layer, in buffers that belong to the caller. Holds one buffer, one frame of the headers, and 100 bytes per entry. The
 * bytes are verified only at the end: a layer that differs from its diff ID fails after the last buffer.
 * @throws NOT_CACHED if the store lacks the layer, STORE_DAMAGED, SIDECAR_INVALID, DIGEST_MISMATCH
 */
export async function* exportLayer(request: ExportRequest): AsyncGenerator<Buffer, void, undefined> {
  const digest = createHash("sha256");
  try {
    for await (const piece of joined(rebuild(request))) {
      request.signal?.throwIfAborted();
      digest.update(piece);
      yield piece;
    }
  } catch (error) {
    throw exportError(error, request);
  }
  const actual = parseDiffId(`sha256:${digest.digest("hex")}`);
  if (actual === request.diffId) return;
  const advice = "its data in the store is damaged, run shale fsck --repair";
  throw digestMismatch({ what: "diff ID", expected: request.diffId, actual, subject: "the exported layer", advice });
}

async function* rebuild({ diffId, ...request }: ExportRequest): AsyncGenerator<Buffer> {
  using sidecar = await Sidecar.openFile(request.sidecar);
  const layer = Buffer.from(diffId.slice(7), "hex");
  if (!sidecar.diffId.equals(layer)) throw new SidecarError("the sidecar belongs to another layer", 0);
  const content = new LayerContent(new LayerInodes(sidecar, request.native, request.owner), request.chunks);
  const entries = dataEntries(sidecar);
  let current: OpenEntry | undefined;
  try {
    for await (const op of decodeHeaders(createReadStream(request.headers, { highWaterMark: PIECE }), layer)) {
      if (op.kind === "literal") {
        yield Buffer.from(op.bytes);
        continue;
      }
      current ??= openNext(entries, content, sidecar);
      yield* dataOf(op, current);
      if (op.kind === "extent") continue;
      closeSync(current.fd);
      current = undefined;
    }
  } finally {
    if (current) closeSync(current.fd);
  }
  if (!entries.next().done) throw new HeadersError("read headers: they do not mention all data of the layer", 0, "operations");
}

interface OpenEntry {
  readonly fd: number;
  readonly size: number;
}

function* dataEntries(sidecar: Sidecar): Generator<number, void> {
  for (const entry of sidecar.tarOrder()) if (sidecar.hasData(entry)) yield entry;
}

function openNext(entries: Generator<number, void>, content: LayerContent, sidecar: Sidecar): OpenEntry {
  const next = entries.next();
  if (next.done) throw new HeadersError("read headers: they mention more data than the layer has", 0, "operations");
  return { fd: content.open(next.value), size: sidecar.size(next.value) };
}

function dataOf(op: Exclude<HeadersOp, { kind: "literal" }>, { fd, size }: OpenEntry): AsyncGenerator<Buffer> {
  switch (op.kind) {
    case "data":
      return readRange(fd, 0, size);
    case "extent":
      if (op.offset + op.length > size) throw new HeadersError("read headers: an extent is beyond its file", 0, "operations");
      return readRange(fd, op.offset, op.offset + op.length);
    case "end-data":
      return readRange(fd, 0, 0);
  }
}

/** Small files are read synchronously: a round trip through the thread pool costs more. */
async function* readRange(fd: number, from: number, to: number): AsyncGenerator<Buffer> {
  for (let at = from; at < to;) {
    const buffer = Buffer.allocUnsafe(Math.min(PIECE, to - at));
    const bytesRead =
      to - from < PIECE / 4 ? readSync(fd, buffer, 0, buffer.length, at) : (await readAsync(fd, buffer, 0, buffer.length, at)).bytesRead;
    if (bytesRead === 0)
      throw new ShaleError("STORE_DAMAGED", "a chunk of the store was truncated while it was read; run shale fsck --repair", { path: "" });
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

/** Joins small neighbouring buffers, so that a layer of small files does not yield a million buffers. */
async function* joined(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let length = 0;
  for await (const piece of pieces) {
    if (piece.length > 0) held.push(piece);
    length += piece.length;
    if (length < PIECE) continue;
    yield held.length === 1 ? held[0]! : Buffer.concat(held, length);
    held = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(held, length);
}

function exportError(error: unknown, { diffId, headers, sidecar }: ExportRequest): unknown {
  if (error instanceof SidecarError) {
    const message = `the sidecar of layer ${diffId} is damaged at byte ${error.offset}; pull the image again with \`force\`, or run shale fsck --repair`;
    return new ShaleError("SIDECAR_INVALID", message, { offset: error.offset }, { cause: error });
  }
  if (error instanceof HeadersError) {
    const message = `the kept headers of layer ${diffId} are damaged; pull the image again with \`force\`, or run shale fsck --repair`;
    return new ShaleError("STORE_DAMAGED", message, { path: headers }, { cause: error });
  }
  const path = isErrno(error, "ENOENT") ? (error as NodeJS.ErrnoException).path : undefined;
  if (path !== undefined && (path === sidecar || path === headers)) {
    const message = `the layer ${diffId} is not in the store; pull an image that has it`;
    return new ShaleError("NOT_CACHED", message, { reference: diffId }, { cause: error });
  }
  return error;
}
