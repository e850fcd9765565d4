/** Amounts and strangers' text, as people read them. */
import { escapeText } from "../bytes.ts";

const UNITS = ["kB", "MB", "GB", "TB"] as const;

/** Decimal units, three digits: `999 B`, `1.23 kB`, `45.6 MB`, `789 GB`. At most 7 characters. */
export function showSize(bytes: number): string {
  if (bytes < 999.5) return `${Math.round(bytes)} B`;
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ""}`;
}

/** `0.42 s`, `12.3 s`, `4 min 5 s`. */
export function showDuration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** `1 layer`, `8,812 layers`. */
export function showCount(count: number, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * One line of text that may quote a stranger, safe for a terminal. Messages of the API have escaped what they quote
 * already, so backslashes stay as they are.
 */
export function showMessage(text: string): string {
  return escapeText(text, /[\p{C}\p{Zl}\p{Zp}]/gu);
}

/** JSON on one line, safe for a terminal: what could steer one is written as JSON's own escapes. */
export function showJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  );
}
