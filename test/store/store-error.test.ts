import assert from "node:assert/strict";
import { test } from "node:test";
import { ShaleError } from "../../src/errors.ts";
import { storeError } from "../../src/store/store-error.ts";

const CODES = [
  ["ENOSPC", "NO_SPACE"],
  ["EDQUOT", "NO_SPACE"],
  ["EROFS", "STORE_UNWRITABLE"],
  ["EACCES", "STORE_UNWRITABLE"],
  ["EMFILE", "NO_DESCRIPTORS"],
  ["ENFILE", "NO_DESCRIPTORS"],
  ["EIO", "STORE_IO"],
  ["ENOLCK", "STORE_IO"],
] as const;

for (const [errno, code] of CODES) {
  test(`\`storeError()\` tells ${errno} by ${code}, with the error underneath as cause`, () => {
    const cause = Object.assign(new Error(errno), { code: errno, syscall: "open" });
    const error = storeError(cause, "/store");
    assert.ok(ShaleError.is(error, code));
    assert.equal(error.detail.path, "/store");
    assert.equal(error.cause, cause);
  });
}

test("`storeError()` leaves errors with a code of ours, and those that it does not know, as they are", () => {
  for (const error of [
    new ShaleError("STORE_CLOSED", "closed", { path: "/store" }),
    new TypeError("wrong"),
    Object.assign(new Error("gone"), { code: "ENOENT", syscall: "open" }),
  ])
    assert.equal(storeError(error, "/store"), error);
});
