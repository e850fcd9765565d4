import assert from "node:assert/strict";
import { type ErrorCode, ShaleError } from "../../src/errors.ts";

/** Asserts that `action` throws a ShaleError with this code, and returns it. */
export function refuses<C extends ErrorCode>(action: () => unknown, code: C): ShaleError<C> {
  try {
    action();
  } catch (error) {
    if (ShaleError.is(error, code)) return error;
    throw error;
  }
  return assert.fail(`nothing was thrown; expected ${code}`);
}
