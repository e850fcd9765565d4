/** The part of the public API that shows progress, without the rest: the program loads it with the first event to show. */
export { ProgressSummary } from "./pull/progress-summary.ts";
