import { Flag } from "./entry.ts";
import { invalid } from "./sidecar-error.ts";
import type { EntryColumns } from "./entry-columns.ts";
import type { ColumnName } from "./columns.ts";

/** Checks modes, xattr sets and targets: each row is used, unique, and in the order of first use. */
export function verifyTables(columns: EntryColumns): void {
  const { modeCount, xattrSetCount, layout } = columns;
  const modes = new FirstUse(columns, "modeTable");
  const targets = new FirstUse(columns, "linkPath");
  for (let entry = 0; entry < columns.count; entry++) {
    modes.use(columns.modeRow(entry));
    const link = columns.linkRow(entry);
    if (link !== -1) targets.use(link);
  }
  modes.end(modeCount);
  targets.end(layout.spans.linkPathEnd.length / 4);
  const sets = new FirstUse(columns, "xattrs");
  for (let row = 0; row < modeCount; row++) {
    const set = columns.xattrRow(row);
    if (set !== -1) sets.use(set);
  }
  sets.end(xattrSetCount);
  verifyDistinct(columns, "modeTable", modeCount, (row) => columns.rawRow("modeTable", row, 24));
  verifyDistinct(columns, "xattrs", xattrSetCount, (row) => JSON.stringify(columns.xattrSet(row).map(({ name, value }) => [name, value])));
  verifyDistinct(columns, "linkPath", layout.spans.linkPathEnd.length / 4, (row) => columns.targetAt(row));
  verifyDistinct(columns, "chunks", columns.chunkCount, (row) => columns.rawRow("chunks", row, 32));
}

/** Checks that pairs are sorted and match the marked entries, that a leader names itself, and that the live names of a group agree. */
export function verifyHardLinks(columns: EntryColumns): void {
  const { start } = columns.layout.spans.hardLinks;
  let marked = 0;
  for (let entry = 0; entry < columns.count; entry++) if ((columns.flags(entry) & Flag.hardLink) !== 0) marked++;
  if (marked !== columns.hardLinkCount) throw invalid("hardLinks", start);
  const firstLive = new Map<number, number>();
  let previous = -1;
  for (let row = 0; row < columns.hardLinkCount; row++) {
    const [member, leader] = columns.hardLinkAt(row);
    if (member <= previous || columns.leader(leader) !== leader) throw invalid("hardLinks", start + row * 8);
    previous = member;
    if (columns.leader(member) !== leader) throw invalid("hardLinks", start + row * 8);
    if (member >= columns.live) continue;
    const first = firstLive.get(leader);
    if (first === undefined) firstLive.set(leader, member);
    else if (inodeOf(columns, first) !== inodeOf(columns, member)) throw invalid("hardLinks", start + row * 8);
  }
}

/** Checks that `order` names every entry but the implicit ones once. Data, first uses of chunks, shadowed and unindexed entries must follow it. */
export function verifyOrder(columns: EntryColumns): void {
  const { count, live, layout } = columns;
  const seen = new Uint8Array(count);
  const chunks = new FirstUse(columns, "chunks");
  let [offset, shadowed, tarLive] = [0, live - 1, 0];
  for (const entry of columns.tarOrder()) {
    const fault = (): never => {
      throw invalid("order", layout.spans.order.start);
    };
    if (seen[entry] !== 0 || (columns.flags(entry) & Flag.implicit) !== 0) fault();
    seen[entry] = 1;
    const data = columns.offset(entry);
    if (data !== 0 && data <= offset) fault();
    if (entry >= live && entry !== ++shadowed) fault();
    if (!layout.indexed && entry > 0 && entry < live && entry !== ++tarLive) fault();
    if (data === 0) continue;
    offset = data;
    chunks.use(columns.chunk(entry));
  }
  chunks.end(columns.chunkCount);
  for (let entry = 0; entry < count; entry++)
    if (seen[entry] === 0 && (columns.flags(entry) & Flag.implicit) === 0) throw invalid("order", layout.spans.order.start);
}

function inodeOf(columns: EntryColumns, entry: number): string {
  const { mtime, mtimeNs, size, chunk, target } = columns.entry(entry);
  return JSON.stringify([columns.modeRow(entry), mtime, mtimeNs, size, chunk, target]);
}

function verifyDistinct(columns: EntryColumns, table: ColumnName, rows: number, textOf: (row: number) => string): void {
  const seen = new Set<string>();
  for (let row = 0; row < rows; row++) seen.add(textOf(row));
  if (seen.size !== rows) throw invalid(table, columns.layout.spans[table].start);
}

/** Checks that the rows of a table are first used in their order. */
class FirstUse {
  #next = 0;
  readonly #start: number;
  readonly #table: ColumnName;

  constructor(columns: EntryColumns, table: ColumnName) {
    this.#table = table;
    this.#start = columns.layout.spans[table].start;
  }

  use(row: number): void {
    if (row > this.#next) throw invalid(this.#table, this.#start);
    if (row === this.#next) this.#next++;
  }

  end(rows: number): void {
    if (this.#next !== rows) throw invalid(this.#table, this.#start);
  }
}
