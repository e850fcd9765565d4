import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { sha256 } from "../../src/system/sha256.ts";

test("`sha256()` gives what node:crypto gives, for bytes of any length and for text", () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 1000, 70_000]) {
    const bytes = randomBytes(length);
    assert.equal(sha256(bytes).toString("hex"), hash("sha256", bytes));
  }
  for (const text of ["", "abc", "größer \u{1f600}\0"]) assert.equal(sha256(text).toString("hex"), hash("sha256", text));
});

test("`sha256()` gives bytes of its own each time", () => {
  const first = sha256("one");
  const kept = first.toString("hex");
  sha256("two");
  assert.equal(first.toString("hex"), kept);
});
