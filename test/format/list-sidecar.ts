import { decodeHeader } from "../../format/sidecar-header.ts";
import { readColumns } from "../../tools/sidecar-damage.ts";

const PART = 15;
const LINE = 32;

/** A small sidecar for people to read: position, part and bytes, part after part. */
export function listSidecar(bytes: Buffer): string {
  const header = decodeHeader(bytes, bytes.length);
  const lengthsAt = header.end - header.lengths.length * 8;
  const columns = readColumns(bytes);
  const sumsAt = bytes.length - (header.lengths.at(-1) ?? 0);
  const parts = [
    { name: "header", start: 0, end: lengthsAt },
    { name: "lengths", start: lengthsAt, end: header.end },
    ...[...columns, { name: "sums", start: sumsAt, length: bytes.length - sumsAt }].flatMap(({ name, start, length }) => [
      { name: `"${name}"`, start: start - name.length - 6, end: start },
      { name: `  content`, start, end: start + length },
    ]),
  ];
  return parts.flatMap((part) => listPart(bytes, part)).join("\n");
}

function listPart(bytes: Buffer, { name, start, end }: { name: string; start: number; end: number }): string[] {
  const lines: string[] = [];
  for (let at = start; at < end; at += LINE) {
    const label = at === start ? name : "";
    lines.push(`${at.toString(16).padStart(4, "0")}  ${label.padEnd(PART)}  ${bytes.toString("hex", at, Math.min(at + LINE, end))}`);
  }
  return lines;
}
