/** Guards against work that grows faster than its input. */
import { runInThisContext } from "node:vm";

const LIMIT_MS = 60_000;
const NAME = "workThatFinishes";

/**
 * Runs `work`, and throws if it does not end within a minute. Give it so much input that linear work takes about a second and quadratic work
 * hours: then the speed of the machine does not decide.
 */
export function finishes(work: () => void): void {
  const globals = globalThis as Record<string, unknown>;
  globals[NAME] = work;
  try {
    // the timeout ends a script and all that it calls
    runInThisContext(`${NAME}()`, { timeout: LIMIT_MS });
  } finally {
    delete globals[NAME];
  }
}
