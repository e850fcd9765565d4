import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { runInNewContext } from "node:vm";
import { isErrno, isError, messageOf, ShaleError } from "../../src/errors.ts";
import { errnoOf, firstError } from "../../src/system/errno.ts";
import { notifyUser } from "../../src/system/user-callback.ts";
import { pack } from "../../src/system/worker-pool.ts";
import { buildImage, buildLayer, writeLayout } from "../../src/testing/index.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const run = promisify(execFile);

/** An error of another realm, as a vm context makes it. */
function foreign(code: string): Error {
  const error: unknown = runInNewContext(
    `Object.assign(new Error("text"), { code: "${code}", errno: -2, syscall: "open", cause: Object.assign(new Error("why"), { code: "EIO", syscall: "read" }) })`,
  );
  assert.equal(error instanceof Error, false);
  return error as Error;
}

test("errors of another realm are recognized", () => {
  const error = foreign("ENOENT");
  assert.equal(isError(error), true);
  assert.equal(isErrno(error), true);
  assert.equal(isErrno(error, "EACCES", "ENOENT"), true);
  assert.equal(isErrno(error, "EACCES"), false);
  assert.equal(errnoOf(error), "ENOENT");
  assert.equal(errnoOf(error.cause), "EIO");
  const { message, fields, cause } = pack(error);
  assert.deepEqual([message, fields["code"], cause?.message], ["text", "ENOENT", "why"]);
  const suppressed: unknown = runInNewContext(`Object.assign(new Error(), { name: "SuppressedError", suppressed: "first" })`);
  assert.equal(firstError(suppressed), "first");
});

test("`isError()` takes an AbortError and refuses what only looks like an error", () => {
  assert.equal(isError(AbortSignal.abort().reason), true);
  for (const value of [undefined, null, "text", {}, { message: "text" }, () => {}]) assert.equal(isError(value), false);
});

test("`messageOf()` returns a text for whatever was thrown", () => {
  const thrown = [new TypeError("a"), "b", 3, undefined, Symbol("c"), Object.create(null), runInNewContext(`new Error("d")`)] as unknown[];
  assert.deepEqual(thrown.map(messageOf), ["a", "b", "3", "undefined", "Symbol(c)", "[object Object]", "d"]);
});

test("`ShaleError.is()` recognizes an error of another copy of the package in another realm", () => {
  const copy: unknown = runInNewContext(`Object.assign(new Error("x"), { code: "NOT_CACHED", [Symbol.for("shale.ShaleError")]: true })`);
  assert.equal(ShaleError.is(copy, "NOT_CACHED"), true);
  assert.equal(ShaleError.is(copy, "STORE_BUSY"), false);
});

test("`notifyUser()` turns a rejection of another realm's promise into a warning", async () => {
  const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
  notifyUser("onProgress", () => runInNewContext(`Promise.reject(Object.create(null))`) as unknown);
  assert.equal((await warned).message, "onProgress failed: [object Object]");
});

test("a pull with all of shale in a vm context recognizes Node's errors", async () => {
  await using directory = await temporaryDirectory();
  const layout = join(directory.path, "layout");
  await writeLayout(layout, { "": buildImage({ layers: [await buildLayer([{ path: "file", content: "text" }])] }) });
  const script = fileURLToPath(new URL("../support/vm-context.js", import.meta.url));
  const { stdout } = await run(process.execPath, ["--experimental-vm-modules", script, layout, join(directory.path, "store")]);
  assert.deepEqual(JSON.parse(stdout), {
    layers: 1,
    missing: "SOURCE_INVALID",
    never: "NOT_CACHED",
    aborted: "AbortError",
    unhandled: [],
  });
});
