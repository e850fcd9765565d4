import { EntryTable } from "../../src/ingest/layer/entry-table.ts";
import { PartBuilder, type StoredFile } from "../../src/ingest/layer/part.ts";
import type { TarEntry } from "../../src/tar/entry.ts";

/** An entry of a layer's tar as its slab's ingest leaves it. */
export interface IngestedEntry {
  readonly entry: TarEntry;
  /** Of its data in the uncompressed layer; 0 without. */
  readonly offset: number;
  readonly stored: StoredFile | undefined;
}

/** A layer of these entries, in parts of at most `rows`. */
export function entryTableOf(entries: readonly IngestedEntry[], rows = 1000): EntryTable {
  const builders: PartBuilder[] = [];
  entries.forEach(({ entry, offset, stored }, index) => {
    if (index % rows === 0) builders.push(new PartBuilder(builders.length));
    builders.at(-1)!.add(entry, offset, stored);
  });
  return new EntryTable(builders.map((builder) => builder.build(Buffer.alloc(0))));
}
