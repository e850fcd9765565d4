const WIDTH = 24;

/** With its brackets. */
export const BAR_COLUMNS: number = WIDTH + 2;

/** `percent` is 0 to 100. */
export function bar(percent: number): string {
  const full = Math.floor((percent * WIDTH) / 100);
  return `[${"=".repeat(full)}${" ".repeat(WIDTH - full)}]`;
}

/** Four columns; rounded down, so that 100 % means complete. */
export function showPercent(percent: number): string {
  return `${String(Math.floor(percent)).padStart(3)}%`;
}
