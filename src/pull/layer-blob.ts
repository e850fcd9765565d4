/** Where the bytes of one layer's blob come from: a kept blob, an earlier download that was cut off, and the source for the rest. */
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
  /** Where a download that is cut off waits for the next. */
  readonly spool: string;
  /** Where the whole blob stays, if it was to be kept. */
  readonly kept: string;
  readonly keep: boolean;
  /** Take no kept blob. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onEvent: (event: SourceEvent) => void;
  /** Told before a pass that does not begin at zero. */
  readonly onResumed: (bytes: number) => void;
}

/** A shorter blob is fetched anew sooner than a file is made for it. */
const MIN_SPOOLED = 256 * 1024;

export class LayerBlob implements Disposable {
  readonly #init: LayerBlobInit;
  readonly #spool: Spool | undefined;
  /** Of this pass. */
  readonly #serving: Set<string> = new Set();
  readonly #avoid: Set<string> = new Set();
  #useKept: boolean;
  /** Bytes that came from the source, in all passes. */
  fetched = 0;
  /** Bytes that were here already, in the last pass. */
  resumed = 0;

  constructor(init: LayerBlobInit) {
    const { descriptor, reference, keep, kept, spool, force } = init;
    this.#init = init;
    this.#useKept = !force && statSync(kept, { throwIfNoEntry: false })?.size === descriptor.size;
    // what lies on this machine need not be kept for a next time
    const worthSpooling = keep || (reference.transport === "docker" && descriptor.size >= MIN_SPOOLED);
    this.#spool = !this.#useKept && worthSpooling ? Spool.open(spool, descriptor.size) : undefined;
  }

  /** One pass over the whole blob, not verified. A chunk is good until the next one is asked for. */
  bytes(): AsyncIterable<Uint8Array> {
    const { descriptor, kept, onResumed } = this.#init;
    this.resumed = this.#useKept ? descriptor.size : (this.#spool?.length ?? 0);
    if (this.resumed > 0) onResumed(this.resumed);
    if (this.#useKept) return createReadStream(kept, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>;
    return this.#spool?.read((offset) => this.#fetch(offset)) ?? this.#fetch(0);
  }

  /** The layer is in the store. */
  done(): void {
    if (this.#init.keep) this.#spool?.moveTo(this.#init.kept);
    else this.#spool?.clear();
  }

  /** The layer was not made: is it worth another pass? What is wrong goes; what is right and not whole stays for the next pull. */
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
      // the collector is in no hurry for what lies outside its heap: tens of megabytes, and the next chunk gets cold memory
      freeBuffer(chunk);
    }
  }
}

/** The bytes are not those that the manifest names: others may have them, or the same host at another time. */
export function isWrongBlob(error: unknown): error is ShaleError {
  return ShaleError.is(error, "SIZE_MISMATCH") || (ShaleError.is(error, "DIGEST_MISMATCH") && error.detail.what === "blob");
}

function isAboutContent(error: unknown): boolean {
  const codes = ["DIGEST_MISMATCH", "LAYER_CORRUPT", "TAR_INVALID", "TAR_UNSUPPORTED"];
  return isWrongBlob(error) || (ShaleError.is(error) && (codes.includes(error.code) || error.code.startsWith("LIMIT_")));
}
