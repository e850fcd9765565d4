const WIDTH = 24;

/** With its brackets. */
export const BAR_COLUMNS: number = WIDTH + 2;

/** `part` is 0 to 1. */
export function bar(part: number): string {
  const full = Math.floor(part * WIDTH);
  return `[${"=".repeat(full)}${" ".repeat(WIDTH - full)}]`;
}

/** Four columns; 100 % is only what is whole. */
export function percent(part: number): string {
  return `${String(Math.floor(part * 100)).padStart(3)}%`;
}
