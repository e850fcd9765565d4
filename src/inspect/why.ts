/** Explains why an object of the store is kept: every chain from the object up to a reason. */
import { readFile } from "node:fs/promises";
import { existsSync, statSync } from "node:fs";
import { Sidecar } from "../../format/index.ts";
import { parseBlobDigest, parseDiffId, type BlobDigest, type DiffId } from "../image/digest.ts";
import { formatReference, parseReference } from "../image/reference.ts";
import { FileLock } from "../system/file-lock.ts";
import { treesOf } from "../store/images.ts";
import { mountedTrees } from "./mounted-trees.ts";
import { isYoung, KEEP_YOUNGER_MS, readImages, type KnownImage, type Reason } from "./roots.ts";
import type { StoreParts } from "./store-parts.ts";
import { chunkPath, parseLinkSourcePath } from "../store/layout.ts";
import { inodeIdOf, parseTreeId, type InodeName, type TreeId } from "../store/ids.ts";

export type StoredKind = "reference" | "image" | "config" | "blob" | "layer" | "tree" | "inode" | "chunk";

export interface StoredObject {
  readonly kind: StoredKind;
  /** A digest, a tree id, an inode id, or the canonical text of a reference. */
  readonly id: string;
}

/** A chain from the object to a reason. `through` lists the objects between them; the reason keeps the last of these. */
export interface KeepingChain {
  readonly through: readonly StoredObject[];
  readonly reason: Reason;
}

export interface Why extends StoredObject {
  /** If empty, the next gc may remove the object. */
  readonly chains: readonly KeepingChain[];
}

export interface WhyOptions {
  /** As for `gc`: an object that was used in the last `keepYoungerMs` ms counts as kept. Default 5 minutes. */
  readonly keepYoungerMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * `object` is a reference, a digest (of a manifest, config or blob, a diff ID, or a file's content), a tree id (26 characters) or an
 * inode id (32 characters, or its path below chunks/). One digest may name several objects. Returns an empty list if the store has
 * none.
 * @throws REFERENCE_INVALID
 */
export async function whyKept(parts: StoreParts, object: string, options: WhyOptions = {}): Promise<Why[]> {
  const search = new Search(parts, options);
  const inode = parseLinkSourcePath(object);
  if (inode !== undefined) return search.inode(inode);
  const treeId = parseTreeId(object);
  if (treeId !== undefined) return search.tree(treeId);
  if (/^sha(?:256|512):[0-9a-f]+$/.test(object)) return search.digest(object);
  return search.reference(formatReference(parseReference(object)));
}

class Search {
  readonly #parts: StoreParts;
  readonly #options: WhyOptions;
  readonly #images: ReadonlyMap<BlobDigest, KnownImage>;

  constructor(parts: StoreParts, options: WhyOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#images = readImages(parts, options.keepYoungerMs ?? KEEP_YOUNGER_MS);
  }

  /** A reference needs nothing to keep it: the chains say what keeps the image that it names. */
  reference(text: string): Why[] {
    const named = [...this.#images.values()].filter(({ references }) => references.some(({ reference }) => reference === text));
    if (named.length === 0) return [];
    const chains = named.flatMap(({ record }) =>
      prefixed({ kind: "image", id: record.manifestDigest }, this.#ofImage(record.manifestDigest)),
    );
    return [{ kind: "reference", id: text, chains }];
  }

  tree(treeId: TreeId): Why[] {
    const { layout } = this.#parts;
    const users = this.#having((record) => treesOf(record).includes(treeId));
    if (users.length === 0 && !existsSync(layout.tree(treeId))) return [];
    const chains = this.#through(users);
    if (mountedTrees(layout).has(treeId) && !chains.some(({ reason }) => reason.kind === "mount" && reason.treeId === treeId))
      chains.push({ through: [], reason: { kind: "mount", treeId } });
    if (isHeld(layout.treeLock(treeId))) chains.push({ through: [], reason: { kind: "pull" } });
    return [{ kind: "tree", id: treeId, chains }];
  }

  async inode(id: InodeName): Promise<Why[]> {
    const { layout, catalog } = this.#parts;
    const bytes = inodeIdOf(id);
    const layers = await catalog.session((session) => session.layersOf(bytes), this.#options.signal);
    if (layers.length === 0 && !existsSync(chunkPath(layout.chunks, bytes))) return [];
    const chains = layers.flatMap((diffId) => prefixed({ kind: "layer", id: diffId }, this.#ofLayer(diffId)));
    return [{ kind: "inode", id, chains }];
  }

  /** Looks up the digest as each kind of object that it may name. */
  async digest(text: string): Promise<Why[]> {
    const { layout } = this.#parts;
    const digest = parseBlobDigest(text);
    const found: Why[] = [];
    if (this.#images.has(digest)) found.push({ kind: "image", id: text, chains: this.#ofImage(digest) });
    const configured = this.#having(({ configDigest }) => configDigest === digest);
    if (configured.length > 0 || existsSync(layout.config(digest)))
      found.push({ kind: "config", id: text, chains: this.#through(configured) });
    if (existsSync(layout.blob(digest))) {
      const chains = this.#through(this.#having(({ layers }) => layers.some((layer) => layer.digest === digest)));
      found.push({ kind: "blob", id: text, chains });
    }
    if (!text.startsWith("sha256:")) return found;
    const diffId = parseDiffId(text);
    if (existsSync(layout.layer(diffId))) found.push({ kind: "layer", id: text, chains: this.#ofLayer(diffId) });
    const chunk = await this.#chunk(Buffer.from(text.slice(7), "hex"));
    if (chunk.length > 0)
      found.push({
        kind: "chunk",
        id: text,
        chains: chunk.flatMap((layer) => prefixed({ kind: "layer", id: layer }, this.#ofLayer(layer))),
      });
    return found;
  }

  /** Returns the layers that have this content. Only the sidecars list contents, so this reads all of them. */
  async #chunk(content: Buffer): Promise<DiffId[]> {
    const { layers } = this.#parts;
    const found: DiffId[] = [];
    for (const diffId of layers.list()) {
      this.#options.signal?.throwIfAborted();
      const bytes = await readFile(layers.sidecarPath(diffId)).catch(() => undefined);
      if (bytes?.includes(content) && hasChunk(await Sidecar.fromBytes(bytes), content)) found.push(diffId);
    }
    return found;
  }

  #having(isUser: (record: KnownImage["record"]) => boolean): KnownImage[] {
    return [...this.#images.values()].filter(({ record }) => isUser(record));
  }

  #through(users: readonly KnownImage[]): KeepingChain[] {
    return users.flatMap(({ record }) => prefixed({ kind: "image", id: record.manifestDigest }, this.#ofImage(record.manifestDigest)));
  }

  #ofImage(digest: BlobDigest): KeepingChain[] {
    const chains = (this.#images.get(digest)?.reasons ?? []).map((reason): KeepingChain => ({ through: [], reason }));
    if (isHeld(this.#parts.layout.lease(digest))) chains.push({ through: [], reason: { kind: "handle" } });
    return chains;
  }

  #ofLayer(diffId: DiffId): KeepingChain[] {
    const { layout } = this.#parts;
    const chains = this.#through(this.#having(({ layers }) => layers.some((layer) => layer.diffId === diffId)));
    if (isHeld(layout.layerUse(diffId))) chains.push({ through: [], reason: { kind: "pull" } });
    const changed = statSync(layout.layer(diffId), { throwIfNoEntry: false })?.ctimeMs;
    if (chains.length === 0 && changed !== undefined && isYoung(changed, this.#options.keepYoungerMs))
      chains.push({ through: [], reason: { kind: "young", lastUse: changed } });
    return chains;
  }
}

function prefixed(object: StoredObject, chains: readonly KeepingChain[]): KeepingChain[] {
  return chains.map(({ through, reason }) => ({ through: [object, ...through], reason }));
}

/** Holds the lock for a moment; another process that wants it meanwhile tries again. */
function isHeld(path: string): boolean {
  if (!existsSync(path)) return false;
  const lock = FileLock.try(path);
  lock?.release();
  return lock === undefined;
}

function hasChunk(sidecar: Sidecar, content: Buffer): boolean {
  for (let chunk = 0; chunk < sidecar.chunkCount; chunk++) if (content.equals(sidecar.chunkId(chunk))) return true;
  return false;
}
