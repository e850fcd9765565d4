/**
 * Marks in the lock files of trees: the boot in which a tree was made or checked, and whether the tree and its files are on the disk.
 * See format/store.md, "Durability".
 */
import { fsyncSync, ftruncateSync, lstatSync, readdirSync, writeSync } from "node:fs";
import { isBootId } from "../system/boot-id.ts";
import { readIfExists } from "../system/existing-file.ts";
import { FileLock } from "../system/file-lock.ts";
import { parseTreeId, type TreeId } from "./ids.ts";
import type { StoreLayout } from "./layout.ts";
import { treeExists } from "./real-directory.ts";

const DURABLE = " durable";

/** `trusted`: made or checked in this boot. `durable`: its files are intact, but names may have changed. `unknown`: anything may have changed. */
export type TreeState = "trusted" | "durable" | "unknown";

/** A tree that a sync will cover. `identity` shows whether the tree was replaced meanwhile. */
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
    if (!treeExists(this.#layout, treeId)) return "unknown";
    const { boot, durable } = this.#read(treeId);
    if (boot === this.#bootId) return "trusted";
    return durable ? "durable" : "unknown";
  }

  /**
   * Removes the mark. Call it before the tree is made or replaced, under its lock: the mark of an earlier tree must not apply to the new one,
   * even after a crash.
   */
  forget(lock: FileLock, treeId: TreeId): void {
    const { boot, durable } = this.#read(treeId);
    if (boot === "") return;
    ftruncateSync(lock.fd, 0);
    if (durable) fsyncSync(lock.fd);
  }

  /** Marks a tree as made in this boot. The caller holds its lock. */
  made(lock: FileLock): void {
    this.#write(lock, this.#bootId);
  }

  /**
   * Marks an existing tree as checked in this boot. The caller holds its lock. A tree of an earlier boot is on the disk if it was durable or
   * its files were read in this boot.
   */
  checked(lock: FileLock, treeId: TreeId): void {
    const { boot, durable } = this.#read(treeId);
    const isOld = boot !== this.#bootId && isBootId(boot);
    this.#write(lock, durable || isOld ? this.#bootId + DURABLE : this.#bootId);
  }

  /** Returns the trees of this boot that are not marked durable. Call it before the sync. */
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

  /** Marks trees durable after the sync. Skips a tree that is locked or was replaced meanwhile; the next sync covers it. */
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
    // removes what a crash may have left after the text
    ftruncateSync(lock.fd, text.length);
  }
}
