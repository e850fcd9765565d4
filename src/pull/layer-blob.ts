/** Reads one layer's blob: a kept blob, or an interrupted download and the rest from the source. */
import { createReadStream, rmSync, statSync } from "node:fs";
import type { Descriptor } from "../image/descriptor.ts";
import type { Reference } from "../image/reference.ts";
import type { Source, SourceEvent } from "../source/source.ts";
import { ShaleError } from "../errors.ts";
import { freeBuffer } from "../system/free-buffer.ts";
import { Spool } from "./spool.ts";

export interface LayerBlobInit {
  readonly source: Source;
  readonly reference: Reference;
  readonly descriptor: Descriptor;
  /** File that keeps an interrupted download for the next pull. */
  readonly spool: string;
  /** File of the complete blob, for `keep`. */
  readonly kept: string;
  readonly keep: boolean;
  /** Ignore a kept blob. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onEvent: (event: SourceEvent) => void;
  /** Called before a pass that starts with bytes from the disk. */
  readonly onResumed: (bytes: number) => void;
}

/** Bytes below which fetching again is cheaper than creating a file. */
const MIN_SPOOLED = 256 * 1024;

export class LayerBlob implements Disposable {
  readonly #init: LayerBlobInit;
  readonly #spool: Spool | undefined;
  /** Hosts that served bytes in this pass. */
  readonly #serving: Set<string> = new Set();
  readonly #avoid: Set<string> = new Set();
  #useKept: boolean;
  /** Bytes from the source, in all passes. */
  fetched = 0;
  /** Bytes from the disk, in the last pass. */
  resumed = 0;

  constructor(init: LayerBlobInit) {
    const { descriptor, reference, keep, kept, spool, force } = init;
    this.#init = init;
    this.#useKept = !force && statSync(kept, { throwIfNoEntry: false })?.size === descriptor.size;
    // local sources need no spool
    const worthSpooling = keep || (reference.transport === "docker" && descriptor.size >= MIN_SPOOLED);
    this.#spool = !this.#useKept && worthSpooling ? Spool.open(spool, descriptor.size) : undefined;
  }

  /** One pass over the whole blob, not verified. A chunk is valid until the next one is requested. */
  bytes(): AsyncIterable<Uint8Array> {
    const { descriptor, kept, onResumed } = this.#init;
    this.resumed = this.#useKept ? descriptor.size : (this.#spool?.length ?? 0);
    if (this.resumed > 0) onResumed(this.resumed);
    if (this.#useKept) return createReadStream(kept, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>;
    return this.#spool?.read((offset) => this.#fetch(offset)) ?? this.#fetch(0);
  }

  /** Call it when the layer is in the store: keeps or removes the download. */
  done(): void {
    if (this.#init.keep) this.#spool?.moveTo(this.#init.kept);
    else this.#spool?.clear();
  }

  /** Call it when the layer failed. Removes wrong bytes, keeps an incomplete download. Returns true if another pass may succeed. */
  failed(error: unknown): boolean {
    if (!isAboutContent(error)) return false;
    this.#spool?.clear();
    if (this.#useKept) rmSync(this.#init.kept, { force: true });
    this.#useKept = false;
    for (const host of this.#serving) this.#avoid.add(host);
    this.#serving.clear();
    return isWrongBlob(error);
  }

  [Symbol.dispose](): void {
    this.#spool?.[Symbol.dispose]();
  }

  async *#fetch(offset: number): AsyncGenerator<Uint8Array> {
    const { source, reference, descriptor, signal } = this.#init;
    const onEvent = (event: SourceEvent): void => {
      if (event.kind === "serving") this.#serving.add(event.host);
      this.#init.onEvent(event);
    };
    for await (const chunk of source.readBlob(reference, descriptor, { offset, signal, avoid: this.#avoid, onEvent })) {
      this.fetched += chunk.length;
      yield chunk;
      // the garbage collector frees external memory late: tens of megabytes would accumulate, all of it cold
      freeBuffer(chunk);
    }
  }
}

/** True if the blob is not the one that the manifest names. Another host may have it, or the same one later. */
export function isWrongBlob(error: unknown): error is ShaleError {
  return ShaleError.is(error, "SIZE_MISMATCH") || (ShaleError.is(error, "DIGEST_MISMATCH") && error.detail.what === "blob");
}

function isAboutContent(error: unknown): boolean {
  const codes = ["DIGEST_MISMATCH", "LAYER_CORRUPT", "TAR_INVALID", "TAR_UNSUPPORTED"];
  return isWrongBlob(error) || (ShaleError.is(error) && (codes.includes(error.code) || error.code.startsWith("LIMIT_")));
}
