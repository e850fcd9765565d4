/** Amounts and strangers' text, as people read them. */
import { escapeText } from "../bytes.ts";
import type { Platform } from "../index.ts";

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

const SPANS: readonly (readonly [seconds: number, name: string])[] = [
  [7 * 86_400, "wk"],
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
];

/** `just now`, `5 min ago`, `3 h ago`, `2 wk ago`; `never` for 0. */
export function showAge(time: number, now: number): string {
  if (time === 0) return "never";
  const seconds = Math.max(0, (now - time) / 1000);
  const [unit, name] = SPANS.find(([size]) => seconds >= size) ?? [0, ""];
  return unit === 0 ? "just now" : `${Math.floor(seconds / unit)} ${name} ago`;
}

/** `in 5 min`; `ended` when it is over. */
export function showUntil(time: number, now: number): string {
  if (time <= now) return "ended";
  const seconds = (time - now) / 1000;
  const [unit, name] = SPANS.find(([size]) => seconds >= size) ?? [1, "s"];
  return `in ${Math.round(seconds / unit)} ${name}`;
}

/** Bytes as they are counted, or as people read them. */
export function showBytesOf(bytes: number, exact: boolean): string {
  return exact ? String(bytes) : showSize(bytes);
}

/** A reference as people type it, which means the same: without the parts that go without saying. */
export function shortReference(reference: string): string {
  return reference.replace(/^docker\.io\/(?:library\/)?/, "");
}

/** The first twelve digits of a digest, as Docker shows them. */
export function showDigest(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1).slice(0, 12);
}

/** `linux/arm64/v8` */
export function showPlatform({ os, architecture, variant }: Platform): string {
  return showMessage([os, architecture, ...(variant === undefined ? [] : [variant])].join("/"));
}

/** Of a whole number, its digits in groups. Intl does it too, and takes 40 ms to load. */
export function showNumber(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** `1 layer`, `8,812 layers`. */
export function showCount(count: number, noun: string): string {
  return `${showNumber(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * One line of text that may quote a stranger, safe for a terminal. Messages of the API have escaped what they quote
 * already, so backslashes stay as they are.
 */
export function showMessage(text: string): string {
  return escapeText(text, /[\p{C}\p{Zl}\p{Zp}]/gu);
}

/** JSON on one line (or indented by so many columns), safe for a terminal: what could steer one is written as JSON's own escapes. */
export function showJson(value: unknown, indent?: number): string {
  return escapeJson(JSON.stringify(value, undefined, indent));
}

/** The same of a JSON document that is text already. */
export function escapeJson(text: string): string {
  return text.replaceAll(/[^\P{C}\n]|[\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  );
}

/** Options of the library whose flags are not the same word in kebab-case. */
const OTHERWISE: Readonly<Record<string, string>> = { limits: "limit", hostDirectories: "hosts-dir", pullPolicy: "policy" };

/** Messages of the library name its options in backticks: `force` becomes --force, `limits.ratio` becomes --limit ratio. */
export function nameOptions(message: string): string {
  return message.replaceAll(/`([a-z][A-Za-z0-9]{0,40})(?:\.([A-Za-z]{1,40}))?`/g, (_, name: string, part: string | undefined) => {
    const flag = OTHERWISE[name] ?? name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return part === undefined ? `--${flag}` : `--${flag} ${part}`;
  });
}
