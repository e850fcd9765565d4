/**
 * Finds the edges of one inode after the other. It reads many keys at once if the wanted ones are close together, and seeks if they are far
 * apart. The cost thus depends on the layer, whether it is most of the store or a small part of it.
 */
import { INODE_ID_BYTES, type InodeId } from "../ids.ts";

/** A LevelDB iterator over keys of `e`, inode id, diff ID. */
export interface EdgeKeys {
  seek(target: Buffer): void;
  /** Empty at the end. */
  nextv(size: number): Promise<Buffer[]>;
  close(): Promise<void>;
}

/** Number of keys to read at once: for the first read, the fewest and the most. */
const READ = { first: 64, least: 2, most: 1024 } as const;
/** Number of keys to skip for each wanted one: reading them costs about as much as a seek. */
const SKIPPED = 4;
const EDGE: Buffer = Buffer.from("e");

export class EdgeReader implements AsyncDisposable {
  readonly #keys: EdgeKeys;
  #read: readonly Buffer[] = [];
  /** The key before those in `#read`, or the target of the last seek. */
  #before: Buffer | undefined;
  #at = 0;
  /** Number of inodes that were looked up in `#read`. */
  #wanted = 0;
  #size: number = READ.first;

  constructor(keys: EdgeKeys) {
    this.#keys = keys;
  }

  /** Returns true if `isSuch` holds for one of the inode's edges. */
  async some(inodeId: InodeId, isSuch: (edge: Buffer) => boolean): Promise<boolean> {
    await this.#find(inodeId);
    this.#wanted++;
    for (;;) {
      const edge = this.#read[this.#at] ?? (await this.#more());
      if (edge === undefined || compareId(edge, inodeId) !== 0) return false;
      if (isSuch(edge)) return true;
      this.#at++;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keys.close();
  }

  /** Moves to the first key that is not before the inode's keys. */
  async #find(inodeId: InodeId): Promise<void> {
    const before = this.#read[this.#at - 1] ?? this.#before;
    if (before !== undefined && compareId(before, inodeId) < 0) {
      for (; this.#at < this.#read.length; this.#at++) if (compareId(this.#read[this.#at]!, inodeId) >= 0) return;
    }
    const start = Buffer.concat([EDGE, inodeId]);
    this.#keys.seek(start);
    await this.#more();
    this.#before = start;
  }

  /** Reads more keys. Returns the next one; undefined at the end. */
  async #more(): Promise<Buffer | undefined> {
    this.#before = this.#read.at(-1);
    if (this.#before !== undefined) this.#size = Math.min(Math.max(this.#wanted * SKIPPED, this.#size >> 1, READ.least), READ.most);
    this.#read = await this.#keys.nextv(this.#size);
    this.#at = this.#wanted = 0;
    return this.#read[0];
  }
}

function compareId(edge: Buffer, inodeId: InodeId): number {
  return edge.compare(inodeId, 0, INODE_ID_BYTES, 1, 1 + INODE_ID_BYTES);
}
