/**
 * What is known of trees, in their lock files: the boot in which a tree was made or compared with its layer, and whether it is on the
 * disk with all that its names lead to. See format/store.md, "Durability".
 */
import { fsyncSync, ftruncateSync, lstatSync, readdirSync, writeSync } from "node:fs";
import { isBootId } from "../system/boot-id.ts";
import { readIfExists } from "../system/existing-file.ts";
import { FileLock } from "../system/file-lock.ts";
import { parseTreeId, type TreeId } from "./ids.ts";
import type { StoreLayout } from "./layout.ts";
import { isRealDirectory } from "./real-directory.ts";

const DURABLE = " durable";

/** `trusted` in this boot; `durable`: its files are as they were, but names may have changed; `unknown`: its files too. */
export type TreeState = "trusted" | "durable" | "unknown";

/** A tree that a sync of the disk is to cover, and which one of that name it was before. */
export interface WaitingTree {
  readonly treeId: TreeId;
  readonly identity: string;
}

export class TreeMarks {
  readonly #layout: StoreLayout;
  readonly #bootId: string;

  constructor(layout: StoreLayout, bootId: string) {
    this.#layout = layout;
    this.#bootId = bootId;
  }

  state(treeId: TreeId): TreeState {
    if (!isRealDirectory(this.#layout.tree(treeId))) return "unknown";
    const { boot, durable } = this.#read(treeId);
    if (boot === this.#bootId) return "trusted";
    return durable ? "durable" : "unknown";
  }

  /**
   * Before a tree is made or replaced, under its lock: nothing that was said of an earlier one may come to stand for it, not even after
   * a crash.
   */
  forget(lock: FileLock, treeId: TreeId): void {
    const { boot, durable } = this.#read(treeId);
    if (boot === "") return;
    ftruncateSync(lock.fd, 0);
    if (durable) fsyncSync(lock.fd);
  }

  /** A tree was made, under its lock. */
  made(lock: FileLock): void {
    this.#write(lock, this.#bootId);
  }

  /**
   * A tree that was there is what it must be, under its lock. One of an earlier boot whose files were read in this one, or known to be
   * durable, is on the disk.
   */
  checked(lock: FileLock, treeId: TreeId): void {
    const { boot, durable } = this.#read(treeId);
    const isOld = boot !== this.#bootId && isBootId(boot);
    this.#write(lock, durable || isOld ? this.#bootId + DURABLE : this.#bootId);
  }

  /** Trees of this boot that are not known to be on the disk; look before the sync. */
  waiting(): WaitingTree[] {
    const found: WaitingTree[] = [];
    for (const name of readdirSync(this.#layout.trees)) {
      const treeId = parseTreeId(name);
      if (treeId === undefined || !this.#isWaiting(treeId)) continue;
      const identity = this.#identity(treeId);
      if (identity !== undefined) found.push({ treeId, identity });
    }
    return found;
  }

  /** After the sync. One that somebody works on, or made anew meanwhile, is left for the next. */
  markDurable(trees: readonly WaitingTree[]): void {
    for (const { treeId, identity } of trees) {
      using lock = FileLock.try(this.#layout.treeLock(treeId), "shared");
      if (lock && this.#isWaiting(treeId) && this.#identity(treeId) === identity) this.#write(lock, this.#bootId + DURABLE);
    }
  }

  #isWaiting(treeId: TreeId): boolean {
    const { boot, durable } = this.#read(treeId);
    return boot === this.#bootId && !durable;
  }

  #identity(treeId: TreeId): string | undefined {
    const stat = lstatSync(this.#layout.tree(treeId), { bigint: true, throwIfNoEntry: false });
    return stat && `${stat.ino} ${stat.birthtimeNs}`;
  }

  #read(treeId: TreeId): { readonly boot: string; readonly durable: boolean } {
    const text = readIfExists(this.#layout.treeLock(treeId))?.toString() ?? "";
    const durable = text.endsWith(DURABLE);
    const boot = durable ? text.slice(0, -DURABLE.length) : text;
    return { boot, durable: durable && isBootId(boot) };
  }

  #write(lock: FileLock, text: string): void {
    writeSync(lock.fd, text, 0);
    // what a crash left behind it
    ftruncateSync(lock.fd, text.length);
  }
}
