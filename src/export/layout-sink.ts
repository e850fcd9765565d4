/** Writes an image to an OCI image layout. A new directory appears when it is complete; an existing layout gets its blobs first and its index last. */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ShaleError } from "../errors.ts";
import { digestAlgorithm, digestHex, digestMismatch } from "../image/digest.ts";
import { JsonObject, MAX_MANIFEST_BYTES, parseJson, quote, type Fail } from "../image/document.ts";
import { OCI_INDEX } from "../image/media-type.ts";
import { durableWrite, syncDirectory } from "../system/durable-write.ts";
import { FileLock } from "../system/file-lock.ts";
import type { ExportBlob, ExportedImage, ExportSink } from "./export-sink.ts";

export const REF_NAME = "org.opencontainers.image.ref.name";
export const OCI_LAYOUT: string = JSON.stringify({ imageLayoutVersion: "1.0.0" });

export class LayoutSink implements ExportSink {
  readonly staging: string;
  readonly #directory: string;
  readonly #tag: string | undefined;
  /** Locked while an existing layout is changed: concurrent exports to one layout wait for each other. */
  readonly #lock: FileLock | undefined;
  readonly #added: string[] = [];
  #index: Buffer | undefined;
  #finished = false;

  private constructor(directory: string, tag: string | undefined, lock: FileLock | undefined) {
    this.#directory = directory;
    this.#tag = tag;
    this.#lock = lock;
    this.staging = mkdtempSync(join(lock ? directory : dirname(directory), ".shale-"));
  }

  /** `directory` is missing, empty, or a layout. @throws DESTINATION_UNUSABLE */
  static async open(directory: string, tag: string | undefined, signal: AbortSignal): Promise<LayoutSink> {
    const stat = lstatSync(directory, { throwIfNoEntry: false });
    if (!stat || (stat.isDirectory() && readdirSync(directory).length === 0)) return new LayoutSink(directory, tag, undefined);
    if (!stat.isDirectory() || !lstatSync(join(directory, "oci-layout"), { throwIfNoEntry: false })?.isFile())
      throw unusable(directory, "is neither empty nor an OCI image layout");
    const lock = await FileLock.acquire(join(directory, "oci-layout"), { signal });
    try {
      return new LayoutSink(directory, tag, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  async write(image: ExportedImage): Promise<void> {
    const root = this.#lock ? this.#directory : this.staging;
    const { mediaType, digest, size } = image.manifest.descriptor;
    const entry = { mediaType, digest, size, ...(this.#tag !== undefined && { annotations: { [REF_NAME]: this.#tag } }) };
    this.#index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...this.#others(digest), entry] }));
    if (this.#index.length > MAX_MANIFEST_BYTES) throw unusable(this.#directory, "has so many images that its index would be too long");
    for (const blob of [...image.layers, image.config, image.manifest]) await this.#put(root, blob);
    if (this.#lock) return;
    writeFileSync(join(root, "oci-layout"), OCI_LAYOUT);
    writeFileSync(join(root, "index.json"), this.#index);
  }

  async finish(): Promise<void> {
    if (this.#lock) durableWrite(join(this.#directory, "index.json"), this.#index!, this.staging);
    else renameSync(this.staging, this.#directory);
    this.#finished = true;
    syncDirectory(dirname(this.#directory));
  }

  async discard(): Promise<void> {
    if (!this.#finished) for (const path of this.#added) rmSync(path, { force: true });
    if (this.#lock || !this.#finished) rmSync(this.staging, { recursive: true, force: true });
    this.#lock?.release();
  }

  /** The layout's other entries, which stay unchanged: all but those with the new image's tag. */
  #others(digest: string): unknown[] {
    const path = join(this.#directory, "index.json");
    if (!this.#lock || !existsSync(path)) return [];
    const fail: Fail = (problem) => unusable(this.#directory, `has an index.json that cannot be added to: ${problem}`);
    if (!lstatSync(path).isFile()) throw fail("it is no regular file");
    const list = new JsonObject(parseJson(readFileSync(path), fail), "document", fail);
    return (list.array("manifests") ?? []).filter((value, at) => {
      const entry = new JsonObject(value, `manifests[${at}]`, fail);
      const tag = entry.stringMap("annotations")?.[REF_NAME];
      return tag !== this.#tag || (tag === undefined && entry.string("digest") !== digest);
    });
  }

  async #put(root: string, { descriptor: { digest, size }, bytes }: ExportBlob): Promise<void> {
    const path = join(root, "blobs", digestAlgorithm(digest), digestHex(digest));
    if (lstatSync(path, { throwIfNoEntry: false })?.size === size) return;
    mkdirSync(dirname(path), { recursive: true });
    const temporary = join(this.staging, `.blob-${basename(path)}`);
    const hash = createHash(digestAlgorithm(digest));
    await using file = await open(temporary, "wx", 0o644);
    for await (const piece of bytes()) {
      hash.update(piece);
      await file.writeFile(piece);
    }
    await file.sync();
    checkDigest(digest, `${digestAlgorithm(digest)}:${hash.digest("hex")}`);
    renameSync(temporary, path);
    if (this.#lock) this.#added.push(path);
  }
}

/** Guards against content that differs between its first and second reading. */
function checkDigest(expected: string, actual: string): void {
  if (actual === expected) return;
  const advice = "its data in the store is damaged, run shale fsck --repair";
  throw digestMismatch({ what: "blob", expected, actual, subject: "the exported blob", advice });
}

function unusable(path: string, why: string): ShaleError<"DESTINATION_UNUSABLE"> {
  return new ShaleError("DESTINATION_UNUSABLE", `${quote(path)} ${why}; name another`, { path });
}
