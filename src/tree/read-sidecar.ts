import { readFileSync } from "node:fs";
import { Sidecar, SidecarError } from "../../format/index.ts";
import { isErrno, ShaleError } from "../errors.ts";

/** A sidecar that is about to be read from end to end, in memory. @throws SIDECAR_INVALID */
export function readSidecar(path: string): Promise<Sidecar> {
  return readingSidecar(path, () => Sidecar.fromBytes(readFileSync(path)));
}

/** Tells damage, and a missing file, of the sidecar at `path` by a code. @throws SIDECAR_INVALID */
export async function readingSidecar<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof SidecarError) && !isErrno(error, "ENOENT")) throw error;
    const message = `the sidecar ${JSON.stringify(path)} is damaged or missing; pull the image again with \`force\`, or run shale fsck --repair`;
    const offset = error instanceof SidecarError ? error.offset : 0;
    throw new ShaleError("SIDECAR_INVALID", message, { offset }, { cause: error });
  }
}
