/** Faults that the test registry injects. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** A request and the status of its answer. */
export interface RecordedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** `1.1` or `2.0`. */
  readonly httpVersion: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** 0 until answered, or if the connection was dropped. */
  readonly status: number;
  /** Bytes of body sent. */
  readonly bytes: number;
}

export interface Fault {
  /** Tested on `METHOD /path`; a function gets the whole request. */
  readonly match: RegExp | ((request: RecordedRequest) => boolean);
  /** How many requests fail; default 1. */
  readonly times?: number;
  /** How many matching requests get a normal answer first: with n - 1 the nth fails. Default 0. */
  readonly after?: number;
  readonly action: FaultAction;
}

export type FaultAction =
  /** Sends another answer. */
  | { readonly kind: "respond"; readonly status: number; readonly headers?: Headers; readonly body?: string | Uint8Array }
  | { readonly kind: "redirect"; readonly location: string | ((request: RecordedRequest) => string); readonly status?: number }
  /** Sends the normal answer with headers added, or removed if undefined. */
  | { readonly kind: "headers"; readonly headers: Headers }
  /** Ignores Range: sends the whole blob with status 200. */
  | { readonly kind: "ignore-range" }
  /** Closes the connection without an answer. */
  | { readonly kind: "drop" }
  /** Closes the connection after this many bytes of the body. */
  | { readonly kind: "cut"; readonly after: number }
  /** Sends nothing after this many bytes of the body; the connection stays open. */
  | { readonly kind: "stall"; readonly after: number }
  /** Sends `bytes` bytes every `everyMs` milliseconds. */
  | { readonly kind: "drip"; readonly bytes: number; readonly everyMs: number }
  /** Changes the byte of the body at this offset. */
  | { readonly kind: "flip"; readonly at: number }
  /** Sends this many extra bytes, without a Content-Length. */
  | { readonly kind: "extend"; readonly bytes: number }
  /** Refuses all tokens issued before this request. */
  | { readonly kind: "revoke-tokens" }
  /** Anything else. */
  | { readonly kind: "handle"; readonly handle: (request: IncomingMessage, response: ServerResponse) => void };

type Headers = Readonly<Record<string, string | undefined>>;

/** The faults that have not happened yet. A request gets the first one that matches and whose `after` requests have passed. */
export class FaultList {
  readonly #faults: { fault: Fault; skip: number; left: number }[] = [];

  add(faults: readonly Fault[]): void {
    for (const fault of faults) this.#faults.push({ fault, skip: fault.after ?? 0, left: fault.times ?? 1 });
  }

  take(request: RecordedRequest): FaultAction | undefined {
    for (const entry of this.#faults) {
      if (entry.left === 0 || !matches(entry.fault, request)) continue;
      if (entry.skip > 0) {
        entry.skip--;
        continue;
      }
      entry.left--;
      return entry.fault.action;
    }
    return undefined;
  }
}

/** Yields the body with the fault; undefined means that the connection breaks now. */
export async function* distort(body: AsyncIterable<Uint8Array>, action: FaultAction | undefined): AsyncGenerator<Uint8Array | undefined> {
  let sent = 0;
  for await (const chunk of body) {
    switch (action?.kind) {
      case "cut":
      case "stall": {
        const left = action.after - sent;
        yield chunk.subarray(0, left);
        if (chunk.length < left) break;
        if (action.kind === "cut") yield undefined;
        return;
      }
      case "flip":
        yield flipByte(chunk, action.at - sent);
        break;
      case "drip":
        for (let at = 0; at < chunk.length; at += action.bytes) {
          yield chunk.subarray(at, at + action.bytes);
          await sleep(action.everyMs);
        }
        break;
      default:
        yield chunk;
    }
    sent += chunk.length;
  }
  if (action?.kind === "extend") yield Buffer.alloc(action.bytes);
}

function matches({ match }: Fault, request: RecordedRequest): boolean {
  return typeof match === "function" ? match(request) : match.test(`${request.method} ${request.path}`);
}

function flipByte(chunk: Uint8Array, at: number): Uint8Array {
  if (at < 0 || at >= chunk.length) return chunk;
  const copy = Buffer.from(chunk);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
