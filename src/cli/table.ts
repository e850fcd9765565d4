/** Results as tables: never wider than the terminal; without a terminal nothing is shortened. */
import { styleText } from "node:util";
import type { Context } from "./command.ts";
import { isTerminal } from "./reporter.ts";

export interface Column {
  readonly title: string;
  readonly right?: boolean;
  /** If the table is too wide, cells are cut in the middle, down to 22 columns while other columns can be left out. */
  readonly shrinks?: boolean;
  /** If the table is too wide, applied to cells before they are cut. */
  readonly shorten?: (cell: string) => string;
  /** If cutting is not enough, these columns are left out, the highest number first. */
  readonly drops?: number;
}

const GAP = "  ";
const NARROWEST = 22;
const ASCII: RegExp = /^[\x20-\x7e]*$/;

/** Columns of a terminal that a text takes. */
type Measure = (text: string) => number;
/** At most `width` columns. */
type Cut = (text: string, width: number, position: "middle" | "end") => string;

/** With a line feed after each line. The caller escapes the cells. */
export async function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], context: Context): Promise<string> {
  const measure = await measureFor(rows.flat());
  const width = isTerminal(context.stdout, context.env) ? context.stdout.columns || 80 : Infinity;
  const fits = sum(naturalWidths(columns, rows, measure)) <= width;
  const shown = fits ? rows : rows.map((row) => row.map((cell, at) => columns[at]?.shorten?.(cell) ?? cell));
  const widths = fit(columns, naturalWidths(columns, shown, measure), width);
  const cut = fits ? (text: string) => text : await loadCut();
  const line = (cells: readonly string[]): string => {
    const padded = cells.flatMap((cell, at) => {
      const [column, columnWidth] = [columns[at], widths[at]];
      if (column === undefined || columnWidth === undefined) return [];
      const text = column.shrinks ? cut(cell, columnWidth, "middle") : cell;
      const space = " ".repeat(Math.max(0, columnWidth - measure(text)));
      return [column.right ? `${space}${text}` : `${text}${space}`];
    });
    return cut(padded.join(GAP).trimEnd(), width, "end");
  };
  const head = line(columns.map(({ title }) => title));
  const first = isColoured(context) ? styleText("bold", head, { validateStream: false }) : head;
  return [first, ...shown.map(line)].map((text) => `${text}\n`).join("");
}

/** string-width takes as long to load as a whole run of a small command: it is loaded only for text beyond ASCII. */
async function measureFor(texts: readonly string[]): Promise<Measure> {
  if (texts.every((text) => ASCII.test(text))) return (text) => text.length;
  return (await import("string-width")).default;
}

async function loadCut(): Promise<Cut> {
  const [{ default: cliTruncate }, { default: stringWidth }] = await Promise.all([import("cli-truncate"), import("string-width")]);
  return (text, width, position) => {
    let cut = cliTruncate(text, width, { position });
    // cli-truncate 6.2 returns a column too many where it divides a character of two columns
    for (let less = width - 1; stringWidth(cut) > width; less--) cut = cliTruncate(text, less, { position });
    return cut;
  };
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
