import { messageOf } from "../errors.ts";

/**
 * Calls a callback of the user that only reports. If it throws, or returns a promise (of any realm) that rejects, that becomes a process
 * warning, never a failure of the caller and never an unhandled rejection.
 */
export function notifyUser(name: string, call: () => unknown): void {
  const warn = (error: unknown): void => process.emitWarning(`${name} failed: ${messageOf(error)}`, "ShaleWarning");
  try {
    const result = call();
    if (typeof result === "object" && result !== null) Promise.resolve(result).catch(warn);
  } catch (error) {
    warn(error);
  }
}
