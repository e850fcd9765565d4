/** Finds the content of a layer's files in chunks/: by their inodes, or by other inodes with the same content. */
import { closeSync, constants, fstatSync, openSync, readdirSync } from "node:fs";
import { basename, dirname } from "node:path";
import { isErrno, ShaleError } from "../errors.ts";
import { chunkPath } from "../store/layout.ts";
import type { LayerInodes } from "./layer-inodes.ts";

export class LayerContent {
  readonly #inodes: LayerInodes;
  readonly #chunks: string;
  /** Entries by chunk row, for entries that share content. Built on first use. */
  #siblings: Map<number, number[]> | undefined;

  /** `inodes`: of the native profile. */
  constructor(inodes: LayerInodes, chunks: string) {
    this.#inodes = inodes;
    this.#chunks = chunks;
  }

  /** Opens a file with the entry's content; the caller closes it. Checks its size, not its bytes. @throws STORE_DAMAGED */
  open(entry: number): number {
    const size = this.#inodes.sidecar.size(entry);
    for (const path of this.candidates(entry)) {
      const fd = openIfSized(path, size);
      if (fd !== undefined) return fd;
    }
    const path = this.#path(entry);
    const message = `the content of a file is missing from the store (${JSON.stringify(path)}); pull the image again with \`force\`, or run shale fsck --repair`;
    throw new ShaleError("STORE_DAMAGED", message, { path });
  }

  /** Paths that may have the content: the native inode, its other ordinals, then other inodes of this layer with the same chunk. */
  *candidates(entry: number): Generator<string> {
    const seen = new Set<string>();
    for (const candidate of this.#sameContent(entry)) {
      const path = this.#path(candidate);
      if (seen.has(path)) continue;
      seen.add(path);
      yield path;
      yield* ordinalsOf(path);
    }
  }

  #path(entry: number): string {
    return chunkPath(this.#chunks, this.#inodes.inode(entry));
  }

  /** The entry itself comes first: an export that finds every native inode needs no others. */
  *#sameContent(entry: number): Generator<number> {
    yield entry;
    const { sidecar } = this.#inodes;
    this.#siblings ??= Map.groupBy(withChunks(this.#inodes), (other) => sidecar.chunk(other));
    yield* this.#siblings.get(sidecar.chunk(entry)) ?? [];
  }
}

function* withChunks({ sidecar }: LayerInodes): Generator<number> {
  for (let entry = 0; entry < sidecar.count; entry++) if (sidecar.chunk(entry) >= 0) yield entry;
}

/** The files of an inode with an ordinal, unsorted. */
function ordinalsOf(path: string): string[] {
  const prefix = `${basename(path)}.`;
  try {
    const names = readdirSync(dirname(path)).filter((name) => name.startsWith(prefix));
    return names.map((name) => `${dirname(path)}/${name}`);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function openIfSized(path: string, size: number): number | undefined {
  let fd: number;
  try {
    // a FIFO at this path must not block
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ELOOP", "ENXIO", "EACCES")) return undefined;
    throw error;
  }
  const stat = fstatSync(fd);
  if (stat.isFile() && stat.size === size) return fd;
  closeSync(fd);
  return undefined;
}
