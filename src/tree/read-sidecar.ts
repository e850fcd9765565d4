import { readFileSync } from "node:fs";
import { Sidecar, SidecarError } from "../../format/index.ts";
import { isErrno, ShaleError } from "../errors.ts";

/** Reads a whole sidecar into memory. @throws SIDECAR_INVALID */
export function readSidecar(path: string): Promise<Sidecar> {
  return readingSidecar(path, () => Sidecar.fromBytes(readFileSync(path)));
}

/** Translates damage or absence of the sidecar at `path`. @throws SIDECAR_INVALID */
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
