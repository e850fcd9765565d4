/** Times in PAX records: decimal seconds with a fraction of any length, of which nine digits count (Go: parsePAXTime). */
import { parseDecimal } from "./number.ts";

const DOT = 0x2e;
const MINUS = 0x2d;
const SECOND = 1_000_000_000;

export interface PaxTime {
  /** Floored. */
  readonly seconds: number;
  /** 0 to 999,999,999, forward from `seconds`. */
  readonly nanoseconds: number;
}

/** Undefined when malformed. The digits beyond the ninth are cut, toward zero. Seconds may lie beyond 2^53: callers bound them. */
export function parsePaxTime(buffer: Buffer, from: number, to: number): PaxTime | undefined {
  let dot = from;
  while (dot < to && buffer[dot] !== DOT) dot++;
  const seconds = parseDecimal(buffer, from, dot);
  const fraction = parseFraction(buffer, dot + 1, to);
  if (Number.isNaN(seconds) || Number.isNaN(fraction)) return undefined;
  if (fraction === 0 || buffer[from] !== MINUS) return { seconds, nanoseconds: fraction };
  return { seconds: seconds - 1, nanoseconds: SECOND - fraction };
}

function parseFraction(buffer: Buffer, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = buffer[at]! - 0x30;
    if (digit < 0 || digit > 9) return NaN;
    if (at - from < 9) value = value * 10 + digit;
  }
  for (let digits = Math.max(0, to - from); digits < 9; digits++) value *= 10;
  return value;
}
