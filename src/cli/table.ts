/** Results as tables: on a terminal as wide as it is, never wider; elsewhere nothing is shortened. */
import { styleText } from "node:util";
import type { Context } from "./command.ts";
import { isTerminal } from "./reporter.ts";
import { cutEnd, cutMiddle, measureFor, type Measure } from "./text-width.ts";

export interface Column {
  readonly title: string;
  readonly right?: boolean;
  /** Gives way first: cut in the middle, down to 16 columns. */
  readonly shrinks?: boolean;
  /** Left out when that is not enough, the highest number first. */
  readonly drops?: number;
}

const GAP = "  ";
const NARROWEST = 16;

/** With a line feed after each line. The cells are escaped by whoever gives them. */
export async function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], context: Context): Promise<string> {
  const measure = await measureFor(rows.flat());
  const width = isTerminal(context.stdout, context.env) ? context.stdout.columns || 80 : Infinity;
  const natural = columns.map(({ title }, at) => Math.max(title.length, ...rows.map((row) => measure(row[at] ?? ""))));
  const widths = fit(columns, natural, width);
  const line = (cells: readonly string[]): string => {
    const shown = cells.flatMap((cell, at) => (widths[at] === undefined ? [] : [pad(cell, widths[at], { measure, column: columns[at]! })]));
    return cutEnd(shown.join(GAP).trimEnd(), width, measure);
  };
  const head = line(columns.map(({ title }) => title));
  return [isColoured(context) ? styleText("bold", head, { validateStream: false }) : head, ...rows.map(line)]
    .map((text) => `${text}\n`)
    .join("");
}

/** https://no-color.org */
export function isColoured({ stdout, env }: Context): boolean {
  return isTerminal(stdout, env) && !env["NO_COLOR"];
}

/** Undefined: the column is left out. */
function fit(columns: readonly Column[], natural: readonly number[], width: number): (number | undefined)[] {
  const widths: (number | undefined)[] = [...natural];
  const total = (): number => widths.reduce<number>((sum, one) => sum + (one === undefined ? 0 : one + GAP.length), -GAP.length);
  const shrinking = columns.findIndex(({ shrinks }) => shrinks);
  const shrink = (): void => {
    if (shrinking !== -1)
      widths[shrinking] = Math.max(Math.min(NARROWEST, natural[shrinking]!), natural[shrinking]! - Math.max(0, total() - width));
  };
  shrink();
  const droppable = columns.flatMap(({ drops }, at) => (drops === undefined ? [] : [{ drops, at }])).sort((a, b) => b.drops - a.drops);
  for (const { at } of droppable) {
    if (total() <= width) break;
    widths[at] = undefined;
    if (shrinking !== -1) widths[shrinking] = natural[shrinking]!;
    shrink();
  }
  return widths;
}

function pad(cell: string, width: number, { measure, column }: { readonly measure: Measure; readonly column: Column }): string {
  const text = column.shrinks ? cutMiddle(cell, width, measure) : cell;
  const space = " ".repeat(Math.max(0, width - measure(text)));
  return column.right ? `${space}${text}` : `${text}${space}`;
}
