/**
 * Reads untrusted JSON. Every field is checked when it is read; null counts as absent (Docker writes null); unknown fields are ignored.
 * Maps have no prototype, so that `__proto__` is an ordinary key.
 */
import { escapeText } from "../bytes.ts";

/** Sources refuse longer manifests and image indexes with MANIFEST_TOO_LARGE. */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 * 1024;
export const MAX_CONFIG_BYTES: number = 4 * 1024 * 1024;

/** Creates the error for a document; `problem` names the field and its fault. */
export type Fail = (problem: string, cause?: unknown) => Error;

/** A JSON object of a document, with its position for messages. */
export class JsonObject {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #where: string;
  readonly #fail: Fail;

  constructor(value: unknown, where: string, fail: Fail) {
    if (!isPlainObject(value)) throw fail(`${where} is ${describe(value)}, not an object`);
    this.#fields = value;
    this.#where = where;
    this.#fail = fail;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#fields, name);
  }

  /** The raw value; undefined when absent or null. */
  get(name: string): unknown {
    return this.has(name) ? (this.#fields[name] ?? undefined) : undefined;
  }

  string(name: string): string | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "string") return value;
    throw this.error(name, `is ${describe(value)}, not a string`);
  }

  /** A string that must exist and not be empty. */
  requiredString(name: string): string {
    const value = this.string(name);
    if (value === undefined || value === "") throw this.error(name, "is missing");
    return value;
  }

  boolean(name: string): boolean | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.error(name, `is ${describe(value)}, not true or false`);
  }

  array(name: string): readonly unknown[] | undefined {
    const value = this.get(name);
    if (value === undefined || Array.isArray(value)) return value;
    throw this.error(name, `is ${describe(value)}, not a list`);
  }

  strings(name: string): readonly string[] | undefined {
    const values = this.array(name);
    const stranger = values?.find((value) => typeof value !== "string");
    if (stranger !== undefined) throw this.error(name, `contains ${describe(stranger)} beside strings`);
    return values as readonly string[] | undefined;
  }

  object(name: string): JsonObject | undefined {
    const value = this.get(name);
    return value === undefined ? undefined : new JsonObject(value, `${this.#where}.${name}`, this.#fail);
  }

  /** The keys of an object whose values have no meaning (`ExposedPorts`, `Volumes`). */
  keys(name: string): readonly string[] | undefined {
    const object = this.object(name);
    return object && Object.keys(object.#fields);
  }

  /** A map of strings, without a prototype. */
  stringMap(name: string): Readonly<Record<string, string>> | undefined {
    const object = this.object(name);
    if (object === undefined) return undefined;
    const map = Object.create(null) as Record<string, string>;
    for (const [key, value] of Object.entries(object.#fields)) {
      if (typeof value !== "string") throw this.error(name, `has ${describe(value)} at ${quote(key)}, not a string`);
      map[key] = value;
    }
    return map;
  }

  error(name: string, problem: string, cause?: unknown): Error {
    return this.#fail(`${this.#where}.${name} ${problem}`, cause);
  }
}

const utf8: InstanceType<typeof TextDecoder> = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Parses strict UTF-8 and JSON. Read the value through `JsonObject`, never recursively: it may be nested deeply. */
export function parseJson(bytes: Uint8Array, fail: Fail): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch (error) {
    throw fail("it is not valid JSON", error);
  }
}

/** Quotes untrusted text for a message: escaped, and cut after 120 characters. */
export function quote(text: string): string {
  const cut = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return `"${escapeText(cut)}"`;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return "missing";
  if (typeof value === "string") return quote(value);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return Array.isArray(value) ? "a list" : "an object";
}
