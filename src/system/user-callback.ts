/** Calls a callback of the user that reports only. If it throws or rejects, that becomes a process warning, never a failure of the caller. */
export function notifyUser(name: string, call: () => unknown): void {
  const warn = (error: unknown): void => process.emitWarning(`${name} failed: ${String(error)}`, "ShaleWarning");
  try {
    const result = call();
    if (result instanceof Promise) result.catch(warn);
  } catch (error) {
    warn(error);
  }
}
