import assert from "node:assert/strict";
import { test } from "node:test";
import { freeBuffer } from "../../src/system/free-buffer.ts";

test("`freeBuffer()` frees what has a buffer to itself", () => {
  const bytes = Buffer.allocUnsafeSlow(65_536);
  freeBuffer(bytes);
  assert.equal(bytes.length, 0);
  assert.equal(bytes.buffer.detached, true);
});

test("`freeBuffer()` leaves what shares its buffer with others, or with other threads", () => {
  const pooled = Buffer.from("a piece of the pool");
  const whole = Buffer.allocUnsafeSlow(1024);
  const shared = new Uint8Array(new SharedArrayBuffer(16));
  for (const bytes of [pooled, whole.subarray(0, 1023), whole.subarray(1), shared]) {
    const { length } = bytes;
    freeBuffer(bytes);
    assert.equal(bytes.length, length);
  }
});

test("`freeBuffer()` may meet a buffer again, and one of nothing", () => {
  const bytes = Buffer.allocUnsafeSlow(1024);
  freeBuffer(bytes);
  freeBuffer(bytes);
  freeBuffer(new Uint8Array(0));
  assert.equal(bytes.length, 0);
});
