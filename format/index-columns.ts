import { compareBytes, Flag, nameOf, parentOf } from "./entry.ts";
import { invalid } from "./sidecar-error.ts";
import type { EntryColumns } from "./entry-columns.ts";
import { SidecarWriter } from "./sidecar-writer.ts";

/** Encodes an unindexed sidecar again in the indexed form. Drops the columns of a later version. */
export async function indexColumns(columns: EntryColumns): Promise<Buffer> {
  const { count, live } = columns;
  const sorted = sortByPath(columns);
  const numbers = Uint32Array.from({ length: count }, (_, entry) => entry);
  sorted.forEach((entry, number) => (numbers[entry] = number));
  let implicit = 0;
  for (let entry = 0; entry < live; entry++) if (columns.flags(entry) & Flag.implicit) implicit++;
  if (columns.tarCount !== count - implicit) throw invalid("order", columns.layout.spans.order.start);
  const writer = new SidecarWriter({ diffId: columns.layout.diffId, indexed: true, live, expected: count });
  try {
    return await rewrite(columns, writer, { sorted, numbers });
  } catch (error) {
    // the writer reports a wrong entry as a mistake of its caller; here the file is wrong
    if (error instanceof RangeError) throw invalid("order", columns.layout.spans.order.start);
    throw error;
  }
}

interface Numbering {
  /** The live entries in their new order. */
  readonly sorted: readonly number[];
  /** The new number of each entry. */
  readonly numbers: Uint32Array;
}

function rewrite(columns: EntryColumns, writer: SidecarWriter, { sorted, numbers }: Numbering): Promise<Buffer> {
  const { count, live } = columns;
  // the first live member leads a group, and in this order another member may be first
  const firsts = new Map<number, number>();
  const leaderOf = (leader: number, number: number): number => {
    if (leader >= live) return numbers[leader] as number;
    const first = firsts.get(leader) ?? number;
    firsts.set(leader, first);
    return first;
  };
  for (let number = 0; number < count; number++) {
    const entry = columns.entry(number < live ? (sorted[number] as number) : number);
    writer.add(entry.leader === -1 ? entry : { ...entry, leader: leaderOf(entry.leader, number) });
  }
  const order = Uint32Array.from({ length: columns.tarCount }, (_, k) => numbers[columns.tarEntry(k)] as number);
  return writer.finish({ order, chunks: columns.chunkTable() });
}

/** The live entries in the order of comparePaths, the root first. */
function sortByPath(columns: EntryColumns): number[] {
  const directories = new Map<string, { name: string; entry: number }[]>();
  columns.path(0);
  for (let entry = 1; entry < columns.live; entry++) {
    const path = columns.path(entry);
    const directory = parentOf(path);
    const names = directories.get(directory);
    if (names === undefined) directories.set(directory, [{ name: nameOf(path), entry }]);
    else names.push({ name: nameOf(path), entry });
  }
  const sorted = [0];
  for (const directory of [...directories.keys()].sort(compareBytes)) {
    let previous = "";
    for (const { name, entry } of (directories.get(directory) ?? []).sort((a, b) => compareBytes(a.name, b.name))) {
      if (name === previous) throw invalid("path", columns.layout.spans.path.start);
      previous = name;
      sorted.push(entry);
    }
  }
  return sorted;
}
