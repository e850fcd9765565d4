/** Parses sizes, durations and counts of the command line. */

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ...["k", "m", "g", "t", "p"].flatMap(
    (letter, at) =>
      [
        [letter, 1000 ** (at + 1)],
        [`${letter}b`, 1000 ** (at + 1)],
        [`${letter}i`, 1024 ** (at + 1)],
        [`${letter}ib`, 1024 ** (at + 1)],
      ] as const,
  ),
]);

const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["min", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
  ["w", 7 * 86_400_000],
]);

/** Bytes: `1048576`, `20GB`, `1.5 GiB`. Undefined if `text` is not a size. */
export function parseSize(text: string): number | undefined {
  return whole(parseWith(text, SIZE_UNITS));
}

/** Milliseconds: `90s`, `1.5h`, `7d`; `0` needs no unit. Undefined if `text` is not a duration. */
export function parseDuration(text: string): number | undefined {
  return text === "0" ? 0 : whole(parseWith(text, DURATION_UNITS));
}

/** A positive integer. Undefined if `text` is not one. */
export function parseCount(text: string): number | undefined {
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
}

function parseWith(text: string, units: ReadonlyMap<string, number>): number | undefined {
  const [, number, unit = ""] = /^(\d{1,16}(?:\.\d{1,9})?) ?([a-z]{0,3})$/i.exec(text) ?? [];
  const factor = units.get(unit.toLowerCase());
  return number === undefined || factor === undefined ? undefined : Number(number) * factor;
}

function whole(value: number | undefined): number | undefined {
  return value === undefined || value > Number.MAX_SAFE_INTEGER ? undefined : Math.round(value);
}
