/** Errors as output: one line of text or one JSON object, and an exit code. */
import { messageOf, ShaleError } from "../errors.ts";
import { exitCodeOf, INTERRUPTED } from "./exit-codes.ts";
import { nameOptions, showJson, showMessage } from "./show.ts";
import { UsageError } from "./usage-error.ts";

export interface Failure {
  readonly code: string;
  readonly message: string;
  /** Only for a ShaleError. */
  readonly detail?: unknown;
  readonly exitCode: number;
}

export function describeFailure(error: unknown, signal: AbortSignal): Failure {
  if (signal.aborted)
    return {
      code: "INTERRUPTED",
      message: "interrupted; nothing incomplete is visible; run the command again to continue",
      exitCode: INTERRUPTED,
    };
  if (error instanceof UsageError) return { code: "USAGE", message: error.message, exitCode: exitCodeOf("USAGE") };
  if (ShaleError.is(error))
    return { code: error.code, message: nameOptions(error.message), detail: error.detail, exitCode: exitCodeOf(error.code) };
  return { code: "INTERNAL", message: messageOf(error), exitCode: exitCodeOf("INTERNAL") };
}

/** Ends with a line feed. `subject` names which of several things failed; the caller escapes it. */
export function failureLine({ code, message, detail, exitCode }: Failure, { json, subject }: { json: boolean; subject?: string }): string {
  if (json) return `${showJson({ error: { code, message, detail, exitCode, ...(subject !== undefined && { subject }) } })}\n`;
  const said = showMessage(message);
  return `shale: ${code}: ${subject === undefined || said.includes(subject) ? "" : `${subject}: `}${said}\n`;
}
