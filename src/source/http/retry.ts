/** Trying again: the one place that decides when, how often and after which wait. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ShaleError } from "../../errors.ts";

export interface RetryPolicy {
  /** How often a request is made in all, and how often a transfer may break without progress (16 KiB). Default 5. */
  readonly tries: number;
  /** Wait before the second try; doubled for each further one, with jitter. Default 250. */
  readonly firstDelayMs: number;
  /** The longest wait, and the longest Retry-After that is honoured; a longer one fails at once. Default 60,000. */
  readonly maxDelayMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = { tries: 5, firstDelayMs: 250, maxDelayMs: 60_000 };

/** A failure that may pass. It never leaves this folder: the error inside is what callers get when we give up. */
export class Transient extends Error {
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
  /** Told before each wait. */
  readonly onRetry?: ((error: ShaleError, delayMs: number) => void) | undefined;
}

/** Runs `attempt` until it succeeds, fails for good, or the tries are used up. */
export async function retry<T>(context: RetryContext, attempt: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++) {
    context.signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Transient)) throw error;
      await waitOrGiveUp(context, error, failures);
    }
  }
}

/** Waits before the next try. @throws the failure's error when there is none left, or when the server asks for too long a wait */
export async function waitOrGiveUp({ policy, signal, onRetry }: RetryContext, failure: Transient, failures: number): Promise<void> {
  if (failures >= policy.tries || failure.retryAfterMs > policy.maxDelayMs) throw failure.error;
  const backoff = policy.firstDelayMs * 2 ** (failures - 1) * (0.5 + Math.random() / 2);
  const delay = Math.min(Math.max(backoff, failure.retryAfterMs), policy.maxDelayMs);
  onRetry?.(failure.error, Math.round(delay));
  try {
    await sleep(delay, undefined, signal && { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** Milliseconds of a Retry-After header, in seconds or as a date; 0 if there is none that makes sense. */
export function parseRetryAfter(header: string | undefined, now: number = Date.now()): number {
  if (header === undefined) return 0;
  if (/^[0-9]{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? 0 : Math.max(0, date - now);
}
