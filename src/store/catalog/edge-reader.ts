/**
 * Looks for the edges of one inode after the other. Where the wanted ones lie close together many are read at once; where they are far
 * apart each is sought: so a layer costs what it has, whether it is most of the store or next to nothing of it.
 */
import { INODE_ID_BYTES, type InodeId } from "../ids.ts";

/** Of LevelDB, over keys `e`, inode id, diff ID. */
export interface EdgeKeys {
  seek(target: Buffer): void;
  /** Empty at the end. */
  nextv(size: number): Promise<Buffer[]>;
  close(): Promise<void>;
}

/** Keys read at once: at first, and at the least and most. */
const READ = { first: 64, least: 2, most: 1024 } as const;
/** Keys that may be skipped for each one wanted: about what a seek costs. */
const SKIPPED = 4;
const EDGE: Buffer = Buffer.from("e");

export class EdgeReader implements AsyncDisposable {
  readonly #keys: EdgeKeys;
  #read: readonly Buffer[] = [];
  /** What stands right before those: a key, or where was sought. */
  #before: Buffer | undefined;
  #at = 0;
  /** Inodes for which something of `#read` was looked at. */
  #wanted = 0;
  #size: number = READ.first;

  constructor(keys: EdgeKeys) {
    this.#keys = keys;
  }

  /** Whether one of the inode's edges is such. */
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

  /** The first key that is not before the inode's is at hand, or there is none. */
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

  /** The next key, unless that was all. */
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
