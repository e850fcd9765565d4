/** Calls of the C library through koffi, and their errors. */
import type { ByteString } from "../bytes.ts";
import { koffi } from "./koffi.ts";

const { getSystemErrorName } = process.getBuiltinModule("node:util");
const { errno: errnos } = process.getBuiltinModule("node:os").constants;

export interface NativeCall {
  readonly syscall: string;
  readonly path?: ByteString;
  /** An errno of NO_ANSWER that this call can really return. */
  readonly answer?: number;
}

/**
 * errno belongs to the thread, and V8 may overwrite it before it is read: a contended mutex leaves the errno of futex(2). Few calls return these
 * values, and a failed call has changed nothing, so the call is repeated.
 */
const NO_ANSWER: readonly number[] = [0, errnos.EAGAIN, errnos.EINTR, errnos.ETIMEDOUT];
const TRIES = 100;

/** Undefined if the call returns 0 or more. */
export function failureOf(call: () => unknown, { syscall, path, answer }: NativeCall): SystemError | undefined {
  for (let tries = TRIES; ; tries--) {
    if (Number(call()) >= 0) return undefined;
    const errno = koffi.errno();
    if (tries === 0 || errno === answer || !NO_ANSWER.includes(errno)) return systemError(errno || errnos.EIO, syscall, path);
  }
}

export type SystemError = NodeJS.ErrnoException & { code: string };

/** An error in the form of node:fs: code, errno, syscall, path. */
function systemError(errno: number, syscall: string, path?: ByteString): SystemError {
  const code = getSystemErrorName(-errno);
  const error = new Error(path === undefined ? `${code}: ${syscall}` : `${code}: ${syscall} ${JSON.stringify(path)}`);
  return Object.assign(error, { code, errno: -errno, syscall, ...(path === undefined ? {} : { path }) });
}
