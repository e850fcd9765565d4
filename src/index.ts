/** The public API: everything a program may import from "shale". */
export { ShaleError } from "./errors.ts";
export type { ErrorCode, ErrorDetails } from "./errors.ts";
