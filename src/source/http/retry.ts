/** The retry policy: how often a request is repeated, after which delay, and when the next host is asked. */
import { setTimeout as sleep } from "node:timers/promises";
import { ShaleError } from "../../errors.ts";
import type { SourceOptions } from "../source.ts";

export interface RetryPolicy {
  /** Attempts per request, and per transfer that breaks without progress (16 KiB). Default 5. */
  readonly tries: number;
  /** Delay before the second attempt; doubled for each further one, with jitter. Default 250. */
  readonly firstDelayMs: number;
  /** The longest delay, and the longest Retry-After that is honoured; a longer one fails at once. Default 60,000. */
  readonly maxDelayMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = { tries: 5, firstDelayMs: 250, maxDelayMs: 60_000 };

/** A failure that another attempt may not have. It does not leave source/: callers get the error in it. */
export class TransientError extends Error {
  readonly error: ShaleError;
  readonly retryAfterMs: number;

  constructor(error: ShaleError, retryAfterMs = 0) {
    super(error.message, { cause: error });
    this.error = error;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface RetryContext {
  readonly policy: RetryPolicy;
  readonly signal?: AbortSignal | undefined;
  /** Gets `retrying` before each delay and before the next host is asked. */
  readonly onEvent?: SourceOptions["onEvent"];
}

/** A host that can answer a request. */
export interface RetryTarget<T> {
  /** `name[:port]`, for events. */
  readonly host: string;
  /** Default: the policy's. */
  readonly tries?: number;
  readonly attempt: () => Promise<T>;
  /** Called when all attempts at this host failed. */
  readonly onFailed?: (error: ShaleError) => void;
}

/**
 * The first success. Repeats a transient failure at the same host after a delay; asks the next host when the tries are used up, or at
 * once after any other ShaleError. Throws all other errors immediately.
 *
 * @throws the last host's error if all failed
 */
export async function retry<T>(targets: readonly RetryTarget<T>[], context: RetryContext): Promise<T> {
  for (let index = 0, failures = 0; ;) {
    const target = targets[index];
    if (target === undefined) throw new TypeError("a request needs a host");
    context.signal?.throwIfAborted();
    try {
      return await target.attempt();
    } catch (caught) {
      context.signal?.throwIfAborted();
      const { tries = context.policy.tries } = target;
      failures++;
      if (await waitToRetry(caught, { ...context, tries, failures, host: target.host })) continue;
      const error = caught instanceof TransientError ? caught.error : caught;
      if (!ShaleError.is(error)) throw error;
      target.onFailed?.(error);
      index++;
      failures = 0;
      if (index === targets.length) throw error;
      const { code, message } = error;
      context.onEvent?.({ kind: "retrying", host: target.host, code, message, delayMs: 0 });
    }
  }
}

interface Failures extends RetryContext {
  readonly host: string;
  readonly tries: number;
  /** Including this one. */
  readonly failures: number;
}

/** Waits for the delay before the next attempt. False, without waiting, if there must be none. Rejects with the signal's reason. */
export async function waitToRetry(error: unknown, { policy, signal, onEvent, host, tries, failures }: Failures): Promise<boolean> {
  if (!(error instanceof TransientError) || failures >= tries || error.retryAfterMs > policy.maxDelayMs) return false;
  const backoff = policy.firstDelayMs * 2 ** (failures - 1) * (0.5 + Math.random() / 2);
  const delay = Math.min(Math.max(backoff, error.retryAfterMs), policy.maxDelayMs);
  const { code, message } = error.error;
  onEvent?.({ kind: "retrying", host, code, message, delayMs: Math.round(delay) });
  try {
    await sleep(delay, undefined, signal && { signal });
  } catch (aborted) {
    signal?.throwIfAborted();
    throw aborted;
  }
  return true;
}

/** Milliseconds of a Retry-After header, which has seconds or a date; 0 if it is missing or malformed. */
export function parseRetryAfter(header: string | undefined, now: number = Date.now()): number {
  if (header === undefined) return 0;
  if (/^[0-9]{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? 0 : Math.max(0, date - now);
}
