/** The uncompressed layer again, from what the store keeps of it: written from format/headers.md, not from the code under test. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeHeaders, Sidecar } from "../../format/index.ts";
import type { DiffId } from "../../src/image/digest.ts";
import { chunkPath } from "../../src/store/layout.ts";
import type { Profile } from "../../src/store/profile.ts";
import { LayerInodes } from "../../src/tree/layer-inodes.ts";

export async function rebuildLayer(store: string, diffId: DiffId, profile: Profile = "overlay"): Promise<Buffer> {
  const directory = join(store, "layers", diffId.replace(":", "-"));
  const sidecar = await Sidecar.fromBytes(readFileSync(join(directory, "sidecar")));
  const inodes = new LayerInodes(sidecar, profile, { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 });
  const data = [...sidecar.tarOrder()].filter((entry) => sidecar.chunk(entry) >= 0 && sidecar.offset(entry) > 0);
  let read: { entry: number; content: Buffer } | undefined;
  const content = (entry: number): Buffer => {
    if (read?.entry !== entry) read = { entry, content: readFileSync(chunkPath(join(store, "chunks"), inodes.inode(entry))) };
    return read.content;
  };
  const pieces: Buffer[] = [];
  let at = 0;
  const write = (bytes: Buffer): void => {
    pieces.push(Buffer.from(bytes));
    at += bytes.length;
  };
  let next = 0;
  let begun = false;
  const current = (): number => {
    const entry = data[next];
    if (entry === undefined) throw new Error(`no data entry is left at byte ${at}`);
    if (!begun && at !== sidecar.offset(entry)) throw new Error(`entry ${entry} is at ${at}, not at ${sidecar.offset(entry)}`);
    return entry;
  };
  for await (const op of decodeHeaders([readFileSync(join(directory, "headers"))], Buffer.from(diffId.slice(7), "hex"))) {
    if (op.kind === "literal") write(op.bytes);
    else if (op.kind === "data") write(content(current()));
    else if (op.kind === "extent") write(content(current()).subarray(op.offset, op.offset + op.length));
    begun = op.kind === "extent" || (op.kind === "literal" && begun);
    if (op.kind === "data" || op.kind === "end-data") next++;
  }
  if (next !== data.length) throw new Error(`${data.length - next} data entries are left over`);
  return Buffer.concat(pieces);
}
