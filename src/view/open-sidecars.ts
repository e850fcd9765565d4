/** Opens the sidecars of an image for single lookups. */
import { readFileSync, statSync } from "node:fs";
import { Sidecar, SidecarError } from "../../format/index.ts";
import type { DiffId } from "../image/digest.ts";
import { readingSidecar } from "../tree/read-sidecar.ts";

export interface SidecarSource {
  readonly diffId: DiffId;
  readonly path: string;
  /** The bytes of the indexed form if the file has no path index. A worker computes them. */
  readonly indexed?: Uint8Array | undefined;
}

/** Smaller sidecars are read whole, so that an image of hundreds of small layers needs no descriptor for each. */
const READ_WHOLE: number = 256 * 1024;
/** Bytes of each large sidecar that stay in memory. */
const CACHE_BYTES: number = 4 * 1024 * 1024;

/** The caller closes them. A failure leaves none open. @throws SIDECAR_INVALID */
export async function openSidecars(sources: readonly SidecarSource[]): Promise<Sidecar[]> {
  const open: Sidecar[] = [];
  try {
    for (const source of sources) open.push(await readingSidecar(source.path, () => openSidecar(source)));
    return open;
  } catch (error) {
    for (const sidecar of open) sidecar.close();
    throw error;
  }
}

async function openSidecar({ path, diffId, indexed }: SidecarSource): Promise<Sidecar> {
  const sidecar = await openBytes(path, indexed);
  if (`sha256:${sidecar.diffId.toString("hex")}` === diffId) return sidecar;
  sidecar.close();
  throw new SidecarError("the sidecar belongs to another layer", 0);
}

async function openBytes(path: string, indexed: Uint8Array | undefined): Promise<Sidecar> {
  if (indexed) return Sidecar.fromBytes(indexed);
  return statSync(path).size <= READ_WHOLE ? Sidecar.fromBytes(readFileSync(path)) : Sidecar.openFile(path, { cacheBytes: CACHE_BYTES });
}
