/** Errors by HTTP status. */
import { escapeText } from "../../bytes.ts";
import { ShaleError } from "../../errors.ts";
import type { HttpResponse } from "./http-client.ts";
import { parseRetryAfter, TransientError } from "./retry.ts";

const MAX_ERROR_BODY = 64 * 1024;
const MAX_SHOWN = 300;
/** Statuses that another attempt may not get. */
const TRANSIENT: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

export interface StatusContext {
  /** What was requested, for messages: `the manifest of "..."`. */
  readonly what: string;
  /** The error for a 404. */
  readonly notFound: () => ShaleError;
}

/** The error for a response with an unexpected status. Reads its body for the registry's explanation. */
export async function statusError(response: HttpResponse, context: StatusContext): Promise<ShaleError | TransientError> {
  const { status, url } = response;
  const { host } = url;
  const said = await explanation(response);
  const message = `"${host}" answered ${status} for ${context.what}${said === "" ? "" : `: ${said}`}`;
  switch (status) {
    case 401:
      return new ShaleError(
        "REGISTRY_UNAUTHORIZED",
        `${message}; check the credentials for this registry, and that the repository exists`,
        { host },
      );
    case 403:
      return new ShaleError("REGISTRY_DENIED", `${message}; ask its owner for permission to pull`, { host });
    case 404:
      return context.notFound();
    default: {
      const wait = parseRetryAfter(response.header("retry-after"));
      const later = wait > 0 ? `; it asks clients to wait ${Math.ceil(wait / 1000)} s, try again then` : "";
      const error = new ShaleError("REGISTRY_ERROR", `${message}${later}`, { host, status });
      return TRANSIENT.has(status) ? new TransientError(error, wait) : error;
    }
  }
}

/** The messages of an error document of the distribution specification, escaped and bounded; empty for any other body. */
async function explanation(response: HttpResponse): Promise<string> {
  const body = await readQuietly(response);
  const errors = errorList(body);
  const text = errors.map(({ code, message }) => [code, message].filter((part) => typeof part === "string").join(" ")).join("; ");
  return escapeText(text.slice(0, MAX_SHOWN));
}

/** Returns an empty buffer if the body is long or breaks: the status is known already. */
async function readQuietly(response: HttpResponse): Promise<Buffer> {
  try {
    return (await response.body.readAll(MAX_ERROR_BODY)) ?? Buffer.alloc(0);
  } catch (error) {
    if (error instanceof TransientError || ShaleError.is(error)) return Buffer.alloc(0);
    throw error;
  }
}

function errorList(body: Buffer): readonly { code?: unknown; message?: unknown }[] {
  try {
    const document: unknown = JSON.parse(body.toString());
    if (typeof document !== "object" || document === null || !("errors" in document) || !Array.isArray(document.errors)) return [];
    const errors: readonly unknown[] = document.errors.slice(0, 5);
    return errors.filter((error) => typeof error === "object" && error !== null);
  } catch {
    // an HTML page, for example
    return [];
  }
}
