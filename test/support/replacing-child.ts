/** Puts files that are wrong in chunks/ right, beside another process that does the same. Arguments: directory, name, way, count. */
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stdout } from "node:process";
import { ChunkWriter, type FileAttributes } from "../../src/ingest/chunks/chunk-writer.ts";
import { chunkId } from "../../src/store/ids.ts";
import { encodeAttributes, inodeId } from "../../src/store/inode.ts";
import { MadeInodes } from "../../src/store/made-inodes.ts";
import { STAGED } from "../../src/store/staged-state.ts";
import { processOwner } from "../../src/store/attributes.ts";
import { S_IFREG } from "../../src/store/profile.ts";
import { Linker } from "../../src/tree/linker.ts";
import { LinkSourceTrust } from "../../src/tree/link-source-trust.ts";

const [root = "", name = "", way = "", count = ""] = process.argv.slice(2);
const [chunks, staging, tree] = ["chunks", `staging-${name}`, `tree-${name}`].map((part) => join(root, part)) as [string, string, string];
const { uid, gid } = processOwner();
const file: FileAttributes = { mode: 0o644, uid, gid, mtime: 5, mtimeNs: 0, xattrs: [] };
const content = (index: number): Buffer => Buffer.from(`content ${index}`.padEnd(300));

/** The inode of file number `index`, which then is in the tree too. */
function ingest(): (index: number) => Uint8Array {
  const used = new MadeInodes();
  const owner = { uid, gid };
  const writer = new ChunkWriter({
    chunks,
    staging,
    profile: "overlay",
    owner,
    umask: 0o22,
    trustedSince: 0,
    made: new MadeInodes().memory,
  });
  return (index) => {
    const { inode, state } = writer.put(content(index), file, { path: join(tree, String(index)), used });
    if (state !== STAGED) throw new Error(`file ${index} was not placed`);
    return inode;
  };
}

function link(): (index: number) => Uint8Array {
  const trust = new LinkSourceTrust(chunks, { since: 0, verified: join(root, "verified") });
  const linker = new Linker({ chunks, staging, name, trust });
  const attributes = { mode: S_IFREG | file.mode, uid, gid, xattrs: [] };
  return (index) => {
    const chunk = chunkId(createHash("sha256").update(content(index)).digest());
    const inode = inodeId(chunk, { seconds: file.mtime, nanoseconds: file.mtimeNs }, encodeAttributes(attributes));
    const size = content(index).length;
    const { mtime, mtimeNs } = file;
    const source = { inode, ordinal: 0, size, attributes, mtime, mtimeNs, vouchedBefore: 0, native: () => inode, chunk: () => chunk };
    linker.link(source, join(tree, String(index)));
    return inode;
  };
}

const make = way === "ingest" ? ingest() : link();
writeFileSync(join(root, `ready-${name}`), "");
// both at once: sleeping would cost the one the other's whole start
while (!existsSync(join(root, "go")));
const inodes = Array.from({ length: Number(count) }, (_, index) => Buffer.from(make(index)).toString("hex"));
stdout.write(JSON.stringify(inodes));
