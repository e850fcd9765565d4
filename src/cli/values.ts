/** Reads option values by the type in the command's table. */
import type { OptionValues } from "./command.ts";

export function flag(values: OptionValues, name: string): boolean {
  return values[name] === true;
}

export function text(values: OptionValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" ? value : undefined;
}

/** Bytes, milliseconds or a count. */
export function amount(values: OptionValues, name: string): number | undefined {
  const value = values[name];
  return typeof value === "number" ? value : undefined;
}

export function list(values: OptionValues, name: string): readonly string[] | undefined {
  const value = values[name];
  return Array.isArray(value) ? (value as readonly string[]) : undefined;
}
