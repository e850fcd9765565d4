/**
 * The ingested layers: layers/<diff id>/ holds `sidecar`, `headers` and `record`. The directory appears by one rename after all three and
 * every chunk exist. See format/store.md, "Layers" and "Durability".
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
  /** Number of all entries of the sidecar. */
  readonly entries: number;
  /** Whether the sidecar holds the path index. */
  readonly indexed: boolean;
  /** The boot in which the layer was published. Until the layer is durable, it is trusted only in that boot. */
  readonly bootId: string;
}

/** `unverified`: published in an earlier boot and never marked durable, so a crash may have damaged it. */
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
   * Returns a time in ms since 1970. The content of native inodes born before it is known to be intact: the layer was published or verified in
   * this boot, or a sync that began then wrote it to the disk. An inode born later, such as a replaced one, may be lost.
   */
  vouchedBefore(diffId: DiffId): number {
    if (this.record(diffId)?.bootId === this.#bootId) return Infinity;
    return statSync(this.#layout.durableMark(diffId), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  /** Returns the record of a layer; undefined if the layer is missing or its record is damaged, in which case the layer counts as missing. */
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

  /** Returns every layer in layers/, unsorted. */
  list(): DiffId[] {
    return readdirSync(this.#layout.layers)
      .map((name) => parseLayerName(name))
      .filter((diffId) => diffId !== undefined);
  }

  /** Publishes a staged directory that holds sidecar and headers. Keeps an existing layer whose files have the same bytes. */
  publish(staged: string, record: Omit<LayerRecord, "bootId">): void {
    if (this.record(record.diffId) && this.#isSame(staged, record.diffId)) return removeLayerDirectory(staged);
    this.#writeRecord(staged, { ...record, bootId: this.#bootId });
    const path = this.#layout.layer(record.diffId);
    // one exchange, so that no other process finds the layer missing
    if (existsSync(path) && exchangeNames(toByteString(staged), toByteString(path))) return removeLayerDirectory(staged);
    this.withdraw(record.diffId, `${staged}-replaced`);
    renameSync(staged, path);
  }

  /** Replaces a layer's sidecar by its indexed form, durably, because the layer may be marked durable. `staging` is on the same file system. */
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

  /** Renames a layer to `staged`, then deletes it. Does nothing if it is missing. */
  withdraw(diffId: DiffId, staged: string): void {
    try {
      renameSync(this.#layout.layer(diffId), staged);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      throw error;
    }
    removeLayerDirectory(staged);
  }

  /** Syncs the file system once and marks these layers durable, so that later boots trust them. Blocks until the sync ends. */
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
   * Syncs the file system once, in the background, for all layers and trees of this boot that are not durable yet, and marks them durable.
   * After a failure they stay unmarked and are verified after a crash.
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

  /** Sets the mtime of the mark to the start of the sync. */
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
 * Deletes a layer's directory in staging. It deletes the known names, which needs no file descriptor: a lack of descriptors may be the
 * reason for the deletion. Does nothing if the directory is missing.
 */
export function removeLayerDirectory(directory: string): void {
  // it may be a symlink, which must not be followed
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
