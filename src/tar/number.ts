/** The numbers of tar and PAX headers, accepted and refused as Go's archive/tar does (strconv.go). "Not a number" is NaN. */

const SPACE = 0x20;
const ZERO = 0x30;
const TWO_TO_63: number = 2 ** 63;

/**
 * A numeric header field: octal between spaces and NULs (all padding: 0), or base-256, which may be negative. Beyond
 * 2^53 the value is rounded, so callers compare it with a bound before they use it.
 */
export function parseNumeric(buffer: Buffer, from: number, to: number): number {
  return buffer[from]! >= 0x80 ? parseBase256(buffer, from, to) : parseOctal(buffer, from, to);
}

/** What follows a NUL after the first digit is not looked at; spaces may only be followed by padding. */
export function parseOctal(buffer: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && isPadding(buffer[at]!)) at++;
  let value = 0;
  for (; at < to; at++) {
    const digit = buffer[at]! - ZERO;
    if (digit < 0 || digit > 7) return buffer[at] === 0 || isAllPadding(buffer, at, to) ? value : NaN;
    value = value * 8 + digit;
  }
  return value;
}

/** A decimal with an optional sign, as `strconv.ParseInt(text, 10, 64)` takes it. Beyond 2^53 rounded. */
export function parseDecimal(buffer: Buffer, from: number, to: number): number {
  const sign = from < to ? buffer[from] : undefined;
  let at = sign === 0x2d || sign === 0x2b ? from + 1 : from;
  if (at >= to) return NaN;
  let value = 0;
  for (; at < to; at++) {
    const digit = buffer[at]! - ZERO;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  if (value >= TWO_TO_63) return NaN;
  return sign === 0x2d ? 0 - value : value;
}

function parseBase256(buffer: Buffer, from: number, to: number): number {
  const negative = (buffer[from]! & 0x40) !== 0;
  const inversion = negative ? 0xff : 0;
  let value = 0;
  for (let at = from; at < to; at++) {
    const byte = (buffer[at]! ^ inversion) & (at === from ? 0x7f : 0xff);
    // the magnitude must fit 63 bits: the last eight bytes without their first bit
    if (to - at > 8 ? byte !== 0 : to - at === 8 && byte > 0x7f) return NaN;
    value = value * 256 + byte;
  }
  return negative ? -1 - value : value;
}

function isPadding(byte: number): boolean {
  return byte === 0 || byte === SPACE;
}

function isAllPadding(buffer: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (!isPadding(buffer[at]!)) return false;
  return true;
}
