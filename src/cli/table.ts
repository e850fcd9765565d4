/** Results as tables: on a terminal as wide as it is, never wider; elsewhere nothing is shortened. */
import { styleText } from "node:util";
import type { Context } from "./command.ts";
import { isTerminal } from "./reporter.ts";
import { cutEnd, cutMiddle, measureFor, type Measure } from "./text-width.ts";

export interface Column {
  readonly title: string;
  readonly right?: boolean;
  /** Gives way first: cut in the middle, down to 22 columns while others can be left out. */
  readonly shrinks?: boolean;
  /** Before it is cut. */
  readonly shorten?: (cell: string) => string;
  /** Left out when that is not enough, the highest number first. */
  readonly drops?: number;
}

const GAP = "  ";
const NARROWEST = 22;

/** With a line feed after each line. The cells are escaped by whoever gives them. */
export async function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], context: Context): Promise<string> {
  const measure = await measureFor(rows.flat());
  const width = isTerminal(context.stdout, context.env) ? context.stdout.columns || 80 : Infinity;
  const fits = sum(naturalWidths(columns, rows, measure)) <= width;
  const shown = fits ? rows : rows.map((row) => row.map((cell, at) => columns[at]?.shorten?.(cell) ?? cell));
  const widths = fit(columns, naturalWidths(columns, shown, measure), width);
  const line = (cells: readonly string[]): string => {
    const padded = cells.flatMap((cell, at) =>
      widths[at] === undefined ? [] : [pad(cell, widths[at], { measure, column: columns[at]! })],
    );
    return cutEnd(padded.join(GAP).trimEnd(), width, measure);
  };
  const head = line(columns.map(({ title }) => title));
  const first = isColoured(context) ? styleText("bold", head, { validateStream: false }) : head;
  return [first, ...shown.map(line)].map((text) => `${text}\n`).join("");
}

function naturalWidths(columns: readonly Column[], rows: readonly (readonly string[])[], measure: Measure): number[] {
  return columns.map(({ title }, at) => Math.max(title.length, ...rows.map((row) => measure(row[at] ?? ""))));
}

function sum(widths: readonly (number | undefined)[]): number {
  return widths.reduce<number>((total, one) => total + (one === undefined ? 0 : one + GAP.length), -GAP.length);
}

/** https://no-color.org */
export function isColoured({ stdout, env }: Context): boolean {
  return isTerminal(stdout, env) && !env["NO_COLOR"];
}

/** Undefined: the column is left out. */
function fit(columns: readonly Column[], natural: readonly number[], width: number): (number | undefined)[] {
  const widths: (number | undefined)[] = [...natural];
  const shrinking = columns.findIndex(({ shrinks }) => shrinks);
  const shrink = (narrowest = NARROWEST): void => {
    const whole = natural[shrinking];
    if (whole === undefined) return;
    widths[shrinking] = whole;
    widths[shrinking] = Math.max(Math.min(narrowest, whole), whole - Math.max(0, sum(widths) - width));
  };
  shrink();
  const droppable = columns.flatMap(({ drops }, at) => (drops === undefined ? [] : [{ drops, at }])).sort((a, b) => b.drops - a.drops);
  for (const { at } of droppable) {
    if (sum(widths) <= width) break;
    widths[at] = undefined;
    shrink();
  }
  if (sum(widths) > width) shrink(1);
  return widths;
}

function pad(cell: string, width: number, { measure, column }: { readonly measure: Measure; readonly column: Column }): string {
  const text = column.shrinks ? cutMiddle(cell, width, measure) : cell;
  const space = " ".repeat(Math.max(0, width - measure(text)));
  return column.right ? `${space}${text}` : `${text}${space}`;
}
