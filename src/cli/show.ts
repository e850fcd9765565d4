/** Amounts, and text from images and registries, in readable form. */
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

/** `in 5 min`; `expired` if the time has passed. */
export function showUntil(time: number, now: number): string {
  if (time <= now) return "expired";
  const seconds = (time - now) / 1000;
  const [unit, name] = SPANS.find(([size]) => seconds >= size) ?? [1, "s"];
  return `in ${Math.round(seconds / unit)} ${name}`;
}

/** Exact bytes, or a size with a unit. */
export function showBytesOf(bytes: number, exact: boolean): string {
  return exact ? String(bytes) : showSize(bytes);
}

/** A reference without its default registry and namespace; it means the same. */
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

/** A whole number with its digits in groups. (Intl does the same, but takes 40 ms to load.) */
export function showNumber(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** `1 layer`, `8,812 layers`, `2 entries`. */
export function showCount(count: number, noun: string): string {
  return `${showNumber(count)} ${count === 1 ? noun : `${noun}s`.replace(/ys$/, "ies")}`;
}

/**
 * Makes one line of text safe for a terminal, although it may quote images or registries. Messages of the API have their quotes
 * escaped before, so backslashes stay unchanged.
 */
export function showMessage(text: string): string {
  return escapeText(text, /[\p{C}\p{Zl}\p{Zp}]/gu);
}

/** JSON on one line, or indented by `indent` columns. Control characters become JSON escapes, so it is safe for a terminal. */
export function showJson(value: unknown, indent?: number): string {
  return escapeJson(JSON.stringify(value, undefined, indent));
}

/** Escapes control characters in a JSON document. */
export function escapeJson(text: string): string {
  return text.replaceAll(/[^\P{C}\n]|[\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`).join(""),
  );
}

/** Options of the library whose flag is not the same name in kebab-case. */
const FLAGS: Readonly<Record<string, string>> = { limits: "limit", hostDirectories: "hosts-dir", pullPolicy: "policy" };

/** Replaces option names of the library, which messages have in backticks, by flags: `force` by --force, `limits.ratio` by --limit ratio. */
export function nameOptions(message: string): string {
  return message.replaceAll(/`([a-z][A-Za-z0-9]{0,40})(?:\.([A-Za-z]{1,40}))?`/g, (_, name: string, part: string | undefined) => {
    const flag = FLAGS[name] ?? name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return part === undefined ? `--${flag}` : `--${flag} ${part}`;
  });
}
