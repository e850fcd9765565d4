import assert from "node:assert/strict";
import { test } from "node:test";
import { errnoOf, firstError } from "../../src/system/errno.ts";

function systemError(code: string, errno: number): Error {
  return Object.assign(new Error(code), { code, errno, syscall: "write" });
}

test("`errnoOf()` finds the code of the system's error, of a cause, of one that Node has no name for, and in LevelDB's text", () => {
  const level = Object.assign(new Error("Database failed to open"), {
    code: "LEVEL_DATABASE_NOT_OPEN",
    cause: Object.assign(new Error("IO error: db/000003.log: No space left on device"), { code: "LEVEL_IO_ERROR" }),
  });
  assert.equal(errnoOf(systemError("EIO", -5)), "EIO");
  assert.equal(errnoOf(new Error("above", { cause: systemError("EROFS", -30) })), "EROFS");
  assert.equal(errnoOf(systemError("UNKNOWN", -122)), "EDQUOT");
  assert.equal(errnoOf(systemError("Unknown system error -122", -122)), "EDQUOT");
  assert.equal(errnoOf(level), "ENOSPC");
  const removal = Object.assign(new Error(", Unknown error: Too many open files '/store/staging/x'"), { code: "UNKNOWN", syscall: "rm" });
  assert.equal(errnoOf(removal), "EMFILE");
  assert.equal(errnoOf(new Error(", Unknown error: Input/output error '/store/staging/x'")), "EIO");
});

test("`errnoOf()` finds none in other errors, not even one that quotes the system", () => {
  const circle = new Error("circle");
  circle.cause = circle;
  for (const error of [
    new Error("No space left on device"),
    circle,
    "ENOSPC",
    undefined,
    Object.assign(new Error("x"), { code: "ABORT_ERR" }),
  ])
    assert.equal(errnoOf(error), undefined);
});

test("`firstError()` gives what failed before disposing failed as well", () => {
  const first = new Error("first");
  const suppressed = (error: unknown): Error =>
    Object.assign(new Error("disposal"), { name: "SuppressedError", error: new Error("later"), suppressed: error });
  assert.equal(firstError(suppressed(suppressed(first))), first);
  assert.equal(firstError(first), first);
});
