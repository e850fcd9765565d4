/** What a registry's status says, as one of our errors. */
import { escapeText } from "../../bytes.ts";
import { ShaleError } from "../../errors.ts";
import type { HttpResponse } from "./http-client.ts";
import { parseRetryAfter, Transient } from "./retry.ts";

const MAX_ERROR_BODY = 64 * 1024;
const MAX_SHOWN = 300;
const PASSING: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

export interface StatusContext {
  /** What was asked for, for messages: `the manifest of "..."`. */
  readonly what: string;
  /** What a 404 means. */
  readonly notFound: () => ShaleError;
}

/** Reads the rest of a response that was not what we asked for, and says what it means. */
export async function statusError(response: HttpResponse, context: StatusContext): Promise<ShaleError | Transient> {
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
      return new ShaleError("REGISTRY_DENIED", `${message}; ask for the right to pull from this repository`, { host });
    case 404:
      return context.notFound();
    default: {
      const wait = parseRetryAfter(response.header("retry-after"));
      const later = wait > 0 ? `; it asks to try again in ${Math.ceil(wait / 1000)} s` : "";
      const error = new ShaleError("REGISTRY_ERROR", `${message}${later}`, { host, status });
      return PASSING.has(status) ? new Transient(error, wait) : error;
    }
  }
}

/** The messages of the distribution specification's error document, if it is one; escaped and bounded. */
async function explanation(response: HttpResponse): Promise<string> {
  const body = await readQuietly(response);
  const errors = errorList(body);
  const text = errors.map(({ code, message }) => [code, message].filter((part) => typeof part === "string").join(" ")).join("; ");
  return escapeText(text.slice(0, MAX_SHOWN));
}

/** The status matters, not whether its explanation arrives whole. */
async function readQuietly(response: HttpResponse): Promise<Buffer> {
  try {
    return (await response.body.readAll(MAX_ERROR_BODY)) ?? Buffer.alloc(0);
  } catch (error) {
    if (error instanceof Transient || ShaleError.is(error)) return Buffer.alloc(0);
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
    // an HTML page or nothing at all: the status has to do
    return [];
  }
}
