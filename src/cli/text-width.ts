/** Columns of a terminal that a text takes, and texts that are cut to fit. */

/** By the rules of Unicode for wide and combining characters. */
export type Measure = (text: string) => number;

const ASCII: RegExp = /^[\x20-\x7e]*$/;

/** A measure for these texts. What the rules of Unicode take to load is only paid for text beyond ASCII. */
export async function measureFor(texts: Iterable<string>): Promise<Measure> {
  for (const text of texts) {
    if (ASCII.test(text)) continue;
    const { default: stringWidth } = await import("string-width");
    return (one) => (ASCII.test(one) ? one.length : stringWidth(one));
  }
  return (text) => text.length;
}

/** At most `width` columns: what is too much goes from the middle, for an ellipsis. */
export function cutMiddle(text: string, width: number, measure: Measure): string {
  if (measure(text) <= width) return text;
  if (width < 1) return "";
  const pieces = piecesOf(text);
  const left = takeWhile(pieces, Math.floor((width - 1) / 2), measure);
  const right = takeWhile(pieces.toReversed(), Math.ceil((width - 1) / 2), measure);
  return `${left.join("")}…${right.toReversed().join("")}`;
}

/** At most `width` columns: what is too much goes from the end. */
export function cutEnd(text: string, width: number, measure: Measure): string {
  if (measure(text) <= width) return text;
  return width < 1 ? "" : `${takeWhile(piecesOf(text), width - 1, measure).join("")}…`;
}

/** Lines of at most `width` columns, broken at spaces; a longer word has a line of its own. Lines after the first are indented. */
export function wrapText(
  text: string,
  { width, measure, indent = "" }: { readonly width: number; readonly measure: Measure; readonly indent?: string },
): string[] {
  const done: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line.trim() !== "" && measure(longer) > width) {
      done.push(line);
      line = `${indent}${word}`;
    } else line = longer;
  }
  return [...done, line];
}

/** What must not be cut apart: a character with its combining marks. */
function piecesOf(text: string): string[] {
  return ASCII.test(text) ? text.split("") : Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}

function takeWhile(pieces: readonly string[], width: number, measure: Measure): string[] {
  let used = 0;
  const end = pieces.findIndex((piece) => (used += measure(piece)) > width);
  return pieces.slice(0, end === -1 ? pieces.length : end);
}
