/** How the test registry misbehaves on demand. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** What the registry saw and answered. */
export interface RecordedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** `1.1` or `2.0`. */
  readonly httpVersion: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** 0 until answered, and when the connection was dropped instead. */
  readonly status: number;
  /** Bytes of body sent. */
  readonly bytes: number;
}

export interface Fault {
  /** Tested on `METHOD /path`; a function gets the whole request. */
  readonly match: RegExp | ((request: RecordedRequest) => boolean);
  /** How often, then the fault is gone; default 1. */
  readonly times?: number;
  /** So many requests that match are answered rightly first: with n - 1, the nth fails. Default 0. */
  readonly after?: number;
  readonly action: FaultAction;
}

export type FaultAction =
  /** Another answer altogether. */
  | { readonly kind: "respond"; readonly status: number; readonly headers?: Headers; readonly body?: string | Uint8Array }
  | { readonly kind: "redirect"; readonly location: string | ((request: RecordedRequest) => string); readonly status?: number }
  /** The right answer with headers added or, when undefined, left out. */
  | { readonly kind: "headers"; readonly headers: Headers }
  /** The whole blob with status 200, whatever Range says. */
  | { readonly kind: "ignore-range" }
  /** The connection ends, without an answer. */
  | { readonly kind: "drop" }
  /** The connection is reset after so many bytes of the body. */
  | { readonly kind: "cut"; readonly after: number }
  /** Nothing more after so many bytes of the body; the connection stays open. */
  | { readonly kind: "stall"; readonly after: number }
  /** A byte now and then. */
  | { readonly kind: "drip"; readonly bytes: number; readonly everyMs: number }
  /** One byte of the body is wrong. */
  | { readonly kind: "flip"; readonly at: number }
  /** So many bytes too many, without a Content-Length. */
  | { readonly kind: "extend"; readonly bytes: number }
  /** Tokens handed out so far are refused from this request on. */
  | { readonly kind: "revoke-tokens" }
  /** Anything else. */
  | { readonly kind: "handle"; readonly handle: (request: IncomingMessage, response: ServerResponse) => void };

type Headers = Readonly<Record<string, string | undefined>>;

/** The faults still to happen; the first that matches a request, and has let pass what it must, is used up by it. */
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

/** The body as the fault lets it through; undefined stands for "now the connection breaks". */
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
