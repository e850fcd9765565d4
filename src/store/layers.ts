/**
 * The ingested layers: layers/<diff id>/ holds `sidecar`, `headers` and `record`, and appears by one rename when all
 * three and every chunk are there. See format/store.md, "Publishing" and "Durability".
 */
import {
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { encodeMap, tryDecodeMap, type Schema } from "../../format/msgpack.ts";
import { toByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { digestHex, parseDiffId, type DiffId } from "../image/digest.ts";
import { durableWrite } from "../system/durable-write.ts";
import { isBootId } from "../system/boot-id.ts";
import { readIfExists } from "../system/existing-file.ts";
import { exchangeNames, syncfs, syncfsLater } from "../system/syscalls.ts";
import { DURABLE, HEADERS, LAYER_RECORD, parseLayerName, SIDECAR, type StoreLayout } from "./layout.ts";
import { isRealDirectory } from "./real-directory.ts";
import type { TreeMarks } from "./tree-marks.ts";

export interface LayerRecord {
  readonly diffId: DiffId;
  /** Bytes of the uncompressed layer. */
  readonly size: number;
  /** All of the sidecar's entries. */
  readonly entries: number;
  /** Whether the sidecar holds the path index. */
  readonly indexed: boolean;
  /** Of the boot in which the layer was published; until it is durable, it is trusted in that boot alone. */
  readonly bootId: string;
}

/** `unverified`: published before a crash of the machine, without having reached the disk for certain. */
export type LayerState = "present" | "absent" | "unverified";

export class Layers {
  readonly #layout: StoreLayout;
  readonly #bootId: string;

  constructor(layout: StoreLayout, bootId: string) {
    this.#layout = layout;
    this.#bootId = bootId;
  }

  sidecarPath(diffId: DiffId): string {
    return this.#layout.sidecar(diffId);
  }

  headersPath(diffId: DiffId): string {
    return this.#layout.headers(diffId);
  }

  state(diffId: DiffId): LayerState {
    const record = this.record(diffId);
    if (!record) return "absent";
    if (record.bootId === this.#bootId || this.#isDurable(diffId)) return "present";
    return "unverified";
  }

  /**
   * Until when (ms since 1970) the layer's native inodes must have been born for their content to be known good: the layer was brought
   * or verified in this boot, or was on the disk by then. What came later (a file that was damaged, and replaced) may be lost.
   */
  vouchedBefore(diffId: DiffId): number {
    if (this.record(diffId)?.bootId === this.#bootId) return Infinity;
    return statSync(this.#layout.durableMark(diffId), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  /** What is known of a layer; undefined when it is not there or its record is damaged (then it counts as not there). */
  record(diffId: DiffId): LayerRecord | undefined {
    if (!isRealDirectory(this.#layout.layer(diffId))) return undefined;
    const bytes = readIfExists(this.#layout.layerRecord(diffId));
    const record = bytes && decodeLayerRecord(bytes);
    return record?.diffId === diffId ? record : undefined;
  }

  /** True if every layer exists and its sidecar has the path index. */
  allIndexed(diffIds: readonly DiffId[]): boolean {
    return diffIds.every((diffId) => this.record(diffId)?.indexed === true);
  }

  /** Every layer that is there, in no order. */
  list(): DiffId[] {
    return readdirSync(this.#layout.layers)
      .map((name) => parseLayerName(name))
      .filter((diffId) => diffId !== undefined);
  }

  /** Completes a staged directory that holds sidecar and headers, and makes it the layer; one that is there with the same bytes stays. */
  publish(staged: string, record: Omit<LayerRecord, "bootId">): void {
    if (this.record(record.diffId) && this.#isSame(staged, record.diffId)) return removeLayerDirectory(staged);
    this.#writeRecord(staged, { ...record, bootId: this.#bootId });
    const path = this.#layout.layer(record.diffId);
    // swapped at once, so that nobody finds the layer absent
    if (existsSync(path) && exchangeNames(toByteString(staged), toByteString(path))) return removeLayerDirectory(staged);
    this.withdraw(record.diffId, `${staged}-replaced`);
    renameSync(staged, path);
  }

  /** Replaces a layer's sidecar by its indexed form, durably: the layer may be marked so. `staging` is a directory on its file system. */
  replaceSidecar(diffId: DiffId, bytes: Uint8Array, staging: string): void {
    const record = this.record(diffId);
    if (!record) return;
    durableWrite(this.sidecarPath(diffId), bytes, staging);
    durableWrite(this.#layout.layerRecord(diffId), encodeLayerRecord({ ...record, indexed: true }), staging);
  }

  #writeRecord(directory: string, record: LayerRecord): void {
    const path = join(directory, LAYER_RECORD);
    writeFileSync(`${path}.new`, encodeLayerRecord(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  #isSame(staged: string, diffId: DiffId): boolean {
    return [SIDECAR, HEADERS].every((name) => {
      const present = readIfExists(join(this.#layout.layer(diffId), name));
      return present?.equals(readFileSync(join(staged, name))) === true;
    });
  }

  /** Takes a layer out of sight by one rename, then deletes it. No error if it is not there. */
  withdraw(diffId: DiffId, staged: string): void {
    try {
      renameSync(this.#layout.layer(diffId), staged);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      throw error;
    }
    removeLayerDirectory(staged);
  }

  /** One barrier for many layers: after it they are trusted in later boots too. Blocks until the disk has everything. */
  makeDurable(diffIds: readonly DiffId[]): void {
    if (diffIds.length === 0) return;
    const began = new Date();
    const fd = openSync(this.#layout.root, "r");
    try {
      syncfs(fd);
    } finally {
      closeSync(fd);
    }
    for (const diffId of diffIds) this.#markDurable(diffId, began);
  }

  /**
   * Finishes what earlier pulls of this boot left to the disk's leisure: one barrier for all layers and trees that are not durable
   * yet, in the background. What fails stays as it was, to be verified after a crash.
   */
  async settleDurability(marks: TreeMarks): Promise<void> {
    const waiting = this.list().filter((diffId) => this.state(diffId) === "present" && !this.#isDurable(diffId));
    const trees = marks.waiting();
    if (waiting.length === 0 && trees.length === 0) return;
    const began = new Date();
    const fd = openSync(this.#layout.root, "r");
    try {
      await syncfsLater(fd);
    } finally {
      closeSync(fd);
    }
    for (const diffId of waiting) this.#markDurable(diffId, began);
    marks.markDurable(trees);
  }

  #isDurable(diffId: DiffId): boolean {
    return existsSync(this.#layout.durableMark(diffId));
  }

  /** The mark bears the time at which the sync began. */
  #markDurable(diffId: DiffId, began: Date): void {
    const path = this.#layout.durableMark(diffId);
    try {
      writeFileSync(path, "", { mode: 0o600 });
      utimesSync(path, began, began);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
}

const RECORD = { diffId: "bin", size: "uint", entries: "uint", indexed: "uint", bootId: "text" } as const satisfies Schema;

export function encodeLayerRecord({ diffId, size, entries, indexed, bootId }: LayerRecord): Buffer {
  return encodeMap(RECORD, { diffId: Buffer.from(digestHex(diffId), "hex"), size, entries, indexed: Number(indexed), bootId });
}

/** Returns undefined for bytes that are not a layer record. The layer then counts as missing. */
export function decodeLayerRecord(bytes: Uint8Array): LayerRecord | undefined {
  const record = tryDecodeMap(RECORD, bytes);
  if (record?.diffId.length !== 32 || record.indexed > 1 || !isBootId(record.bootId)) return undefined;
  const diffId = parseDiffId(`sha256:${Buffer.from(record.diffId).toString("hex")}`);
  return { ...record, diffId, indexed: record.indexed === 1 };
}

/**
 * Deletes the directory of a layer that nobody sees, staged or withdrawn. By the names that it has: that takes no file descriptor, and
 * none left may be why the layer was given up. No error if it is not there.
 */
export function removeLayerDirectory(directory: string): void {
  // what stands in a layer's place may be a link to anywhere
  if (!isRealDirectory(directory)) return rmSync(directory, { recursive: true, force: true });
  for (const name of [SIDECAR, HEADERS, LAYER_RECORD, `${LAYER_RECORD}.new`, DURABLE]) {
    const path = join(directory, name);
    if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === true) rmSync(path, { force: true });
  }
  try {
    rmdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    if (!isErrno(error, "ENOTEMPTY")) throw error;
    rmSync(directory, { recursive: true, force: true });
  }
}
