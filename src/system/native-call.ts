/** Calls of the C library by koffi, and what their failures were. */
import type { ByteString } from "../bytes.ts";
import { koffi } from "./koffi.ts";

const { getSystemErrorName } = process.getBuiltinModule("node:util");
const { errno: errnos } = process.getBuiltinModule("node:os").constants;

export interface NativeCall {
  readonly syscall: string;
  readonly path?: ByteString;
  /** A value of NO_ANSWER that this call does answer with. */
  readonly answer?: number;
}

/**
 * errno is the thread's, and V8 may set it before it is read: a contended mutex of its own leaves what futex(2) said. Few calls
 * answer so, a call that failed has changed nothing, and so it is made again.
 */
const NO_ANSWER: readonly number[] = [0, errnos.EAGAIN, errnos.EINTR, errnos.ETIMEDOUT];
const TRIES = 100;

/** Undefined when the call gives 0 or more. */
export function failureOf(call: () => unknown, { syscall, path, answer }: NativeCall): SystemError | undefined {
  for (let tries = TRIES; ; tries--) {
    if (Number(call()) >= 0) return undefined;
    const errno = koffi.errno();
    if (tries === 0 || errno === answer || !NO_ANSWER.includes(errno)) return systemError(errno || errnos.EIO, syscall, path);
  }
}

export type SystemError = NodeJS.ErrnoException & { code: string };

/** An error shaped as node:fs shapes its own: code, errno, syscall, path. */
function systemError(errno: number, syscall: string, path?: ByteString): SystemError {
  const code = getSystemErrorName(-errno);
  const error = new Error(path === undefined ? `${code}: ${syscall}` : `${code}: ${syscall} ${JSON.stringify(path)}`);
  return Object.assign(error, { code, errno: -errno, syscall, ...(path === undefined ? {} : { path }) });
}
