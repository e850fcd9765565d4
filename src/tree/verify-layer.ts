/** Verifies all data of a layer after a machine crash, before the layer is used again. */
import { closeSync, constants, createReadStream, fstatSync, openSync } from "node:fs";
import { hashOpenFile } from "../system/hash-open-file.ts";
import { decodeHeaders, HeadersError, Sidecar, SidecarError, verifySidecar } from "../../format/index.ts";
import { isErrno } from "../errors.ts";
import { chunkPath } from "../store/layout.ts";
import type { Owner, Profile } from "../store/profile.ts";
import { LayerInodes } from "./layer-inodes.ts";

export interface VerifyLayerRequest {
  readonly sidecar: string;
  readonly headers: string;
  readonly chunks: string;
  readonly native: Profile;
  readonly owner: Owner;
}

/** True if the sidecar, the headers and every chunk are intact; false if anything is missing or damaged. */
export async function verifyLayer({ sidecar: path, headers, chunks, native, owner }: VerifyLayerRequest): Promise<boolean> {
  try {
    await verifySidecar(path);
    using sidecar = await Sidecar.openFile(path);
    for await (const _ of decodeHeaders(createReadStream(headers), sidecar.diffId)) void _;
    return chunksAreWhole(new LayerInodes(sidecar, native, owner), chunks);
  } catch (error) {
    if (error instanceof SidecarError || error instanceof HeadersError || isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

function chunksAreWhole(inodes: LayerInodes, chunks: string): boolean {
  const { sidecar } = inodes;
  const seen = new Set<string>();
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  for (let entry = 0; entry < sidecar.count; entry++) {
    if (sidecar.chunk(entry) < 0) continue;
    const path = chunkPath(chunks, inodes.inode(entry));
    if (seen.has(path)) continue;
    seen.add(path);
    if (!isWhole(path, { size: sidecar.size(entry), digest: sidecar.chunkId(sidecar.chunk(entry)), buffer })) return false;
  }
  return true;
}

function isWhole(path: string, { size, digest, buffer }: { size: number; digest: Buffer; buffer: Buffer }): boolean {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    if (fstatSync(fd).size !== size) return false;
    return hashOpenFile(fd, buffer).equals(digest);
  } finally {
    closeSync(fd);
  }
}
