import assert from "node:assert/strict";
import { test } from "node:test";
import { ShaleError } from "../../../src/errors.ts";
import { parseRetryAfter, retry, TransientError, type RetryTarget } from "../../../src/source/http/retry.ts";
import type { SourceEvent } from "../../../src/source/source.ts";

test("`parseRetryAfter()` reads seconds and dates; all else is 0", () => {
  const now = Date.parse("2024-01-01T00:00:00Z");
  assert.equal(parseRetryAfter("0", now), 0);
  assert.equal(parseRetryAfter("120", now), 120_000);
  assert.equal(parseRetryAfter("Mon, 01 Jan 2024 00:01:00 GMT", now), 60_000);
  assert.equal(parseRetryAfter("Mon, 01 Jan 2020 00:01:00 GMT", now), 0);
  for (const nothing of [undefined, "", "-5", "soon", "1e9"]) assert.equal(parseRetryAfter(nothing, now), 0);
});

const failure = new ShaleError("REGISTRY_ERROR", "x", { host: "h", status: 503 });
const policy = { tries: 3, firstDelayMs: 1, maxDelayMs: 20 };

/** A host that fails with these errors in turn, the last one again and again, and records its attempts. */
function failing(host: string, attempts: string[], ...errors: readonly Error[]): RetryTarget<never> {
  let next = 0;
  return {
    host,
    attempt: () => {
      attempts.push(host);
      return Promise.reject(errors[Math.min(next++, errors.length - 1)]!);
    },
  };
}

test("`retry()` makes as many attempts as the policy says, then throws the error in the TransientError", async () => {
  const attempts: string[] = [];
  await assert.rejects(retry([failing("a", attempts, new TransientError(failure))], { policy }), failure);
  assert.deepEqual(attempts, ["a", "a", "a"]);
});

test("`retry()` repeats neither a permanent failure nor one whose Retry-After exceeds the limit", async () => {
  for (const error of [failure, new TransientError(failure, 21)]) {
    const attempts: string[] = [];
    await assert.rejects(retry([failing("a", attempts, error)], { policy }), failure);
    assert.deepEqual(attempts, ["a"]);
  }
});

test("`retry()` asks the next host when the tries of one are used up, or at once after a permanent failure", async () => {
  const attempts: string[] = [];
  const events: SourceEvent[] = [];
  const failed: string[] = [];
  const mirror = { ...failing("mirror", attempts, new TransientError(failure)), tries: 1, onFailed: () => void failed.push("mirror") };
  const first = failing("first", attempts, new TransientError(failure), failure);
  const last = { host: "last", attempt: () => Promise.resolve("content") };
  const onEvent = (event: SourceEvent): void => void events.push(event);
  assert.equal(await retry([mirror, first, last], { policy, onEvent }), "content");
  assert.deepEqual(attempts, ["mirror", "first", "first"]);
  assert.deepEqual(failed, ["mirror"]);
  assert.deepEqual(
    events.map((event) => event.kind === "retrying" && [event.host, event.delayMs > 0]),
    [
      ["mirror", false],
      ["first", true],
      ["first", false],
    ],
  );
});

test("`retry()` throws the last host's error if all fail, and any error that is not a ShaleError at once", async () => {
  const attempts: string[] = [];
  const other = new ShaleError("REGISTRY_DENIED", "y", { host: "b" });
  await assert.rejects(retry([failing("a", attempts, failure), failing("b", attempts, other)], { policy }), other);
  const bug = new RangeError("bug");
  await assert.rejects(retry([failing("c", attempts, bug), failing("d", attempts, other)], { policy }), bug);
  assert.deepEqual(attempts, ["a", "b", "c"]);
});

test("`retry()` ends its delay with the signal's own reason", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const slow = { tries: 3, firstDelayMs: 60_000, maxDelayMs: 60_000 };
  const running = retry([failing("a", [], new TransientError(failure))], { policy: slow, signal: controller.signal });
  setTimeout(() => controller.abort(reason), 5);
  await assert.rejects(running, (error) => error === reason);
});
