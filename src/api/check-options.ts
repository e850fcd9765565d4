/** Checks what callers pass, before anything is done: a misspelt option or value must not be ignored. */

/** What is expected in place of a value. `range`: it is a number, but not an allowed one. */
interface Mismatch {
  readonly expected: string;
  readonly range?: boolean;
}

/** Undefined if the value is allowed. */
export type Check = (value: unknown) => Mismatch | undefined;

export const isBoolean: Check = (value) => (typeof value === "boolean" ? undefined : { expected: "true or false" });
export const isFunction: Check = (value) => (typeof value === "function" ? undefined : { expected: "a function" });
export const isSignal: Check = (value) =>
  isObject(value) && typeof value["aborted"] === "boolean" ? undefined : { expected: "an AbortSignal" };
export const isIterable: Check = (value) =>
  isObject(value) && Symbol.asyncIterator in value ? undefined : { expected: "a stream or another async iterable" };

export const isWritable: Check = (value) =>
  isObject(value) && typeof value["write"] === "function" ? undefined : { expected: "a writable stream" };

export const isText: Check = (value) =>
  typeof value === "string" && value !== "" ? undefined : { expected: "a string that is not empty" };

export function isOneOf(...values: readonly string[]): Check {
  const expected = `one of ${values.map((value) => JSON.stringify(value)).join(", ")}`;
  return (value) => (values.includes(value as string) ? undefined : { expected });
}

/** A whole number of `unit` from `min` to `max`, both included. */
export function isWhole(unit: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): Check {
  const expected = `a whole number of ${unit}, ${max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`}`;
  return (value) => {
    if (typeof value !== "number") return { expected };
    return Number.isSafeInteger(value) && value >= min && value <= max ? undefined : { expected, range: true };
  };
}

/** `items` names them in the message. */
export function isListOf(check: Check, items: string): Check {
  return (value) =>
    Array.isArray(value) && value.every((item) => check(item) === undefined) ? undefined : { expected: `an array of ${items}` };
}

export function isEither(...checks: readonly Check[]): Check {
  return (value) => {
    const found = checks.map((check) => check(value));
    if (found.includes(undefined)) return undefined;
    return {
      expected: found.map((mismatch) => mismatch?.expected).join(", or "),
      range: found.some((mismatch) => mismatch?.range === true),
    };
  };
}

/** An object with these optional keys and no others. */
export function isRecord(checks: Readonly<Record<string, Check>>): Check {
  const keys = `an object with no other keys than ${Object.keys(checks).join(", ")}`;
  return (value) => {
    if (!isObject(value)) return { expected: keys };
    for (const [key, item] of Object.entries(value)) {
      const check = Object.hasOwn(checks, key) ? checks[key] : undefined;
      if (check === undefined) return { expected: keys };
      const mismatch = item === undefined ? undefined : check(item);
      if (mismatch) return { ...mismatch, expected: `an object whose ${key} is ${mismatch.expected}` };
    }
    return undefined;
  };
}

/**
 * `call` names the function in messages. An option that is undefined counts as absent.
 * @throws TypeError (code ERR_INVALID_ARG_VALUE) for an unknown option or a value that is not allowed; RangeError (ERR_OUT_OF_RANGE) for a
 * number outside its range
 */
export function checkOptions(call: string, options: unknown, checks: Readonly<Record<string, Check>>): void {
  if (!isObject(options)) throw refusal(`${call}(): the options are ${show(options)}; expected an object`);
  for (const [key, value] of Object.entries(options)) {
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined;
    if (check === undefined) throw refusal(`${call}(): unknown option ${JSON.stringify(key)}; known are ${Object.keys(checks).join(", ")}`);
    if (value !== undefined) checkArgument(call, key, value, check);
  }
}

/** The same for one argument, named `name`. */
export function checkArgument(call: string, name: string, value: unknown, check: Check): void {
  const mismatch = check(value);
  if (mismatch) throw refusal(`${call}(): ${name} is ${show(value)}; expected ${mismatch.expected}`, mismatch.range);
}

function refusal(message: string, range = false): TypeError | RangeError {
  const error = range ? new RangeError(message) : new TypeError(message);
  return Object.assign(error, { code: range ? "ERR_OUT_OF_RANGE" : "ERR_INVALID_ARG_VALUE" });
}

/** Never shows the content of an object: it may be credentials. */
function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  return isObject(value) ? "an object" : String(value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
