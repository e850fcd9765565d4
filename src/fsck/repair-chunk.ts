/** Makes a link source again from any file that still has its content. */
import { closeSync, copyFileSync, linkSync, lstatSync, openSync, rmSync, writeFileSync } from "node:fs";
import type { Sidecar } from "../../format/index.ts";
import { fsPath, toByteString, type ByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { LayerContent } from "../tree/layer-content.ts";
import { applyToFile, type FileState } from "../store/attributes.ts";
import { chunkPath } from "../store/layout.ts";
import { PROFILES, type Owner, type Profile } from "../store/profile.ts";
import { replaceChunk } from "../store/replace-chunk.ts";
import { LayerInodes } from "../tree/layer-inodes.ts";
import { checkChunk, expectedInode, hashFile, type ExpectedInode } from "./check-chunk.ts";

export interface RepairRequest {
  readonly sidecar: string;
  readonly chunks: string;
  readonly owner: Owner;
  readonly profile: Profile;
  /** An entry of the sidecar that has the inode. */
  readonly entry: number;
  readonly ordinal: number;
  /** An unused path on the store's file system. */
  readonly staged: string;
  /** Files of trees that may have the content: absolute paths (byte strings). */
  readonly others: readonly ByteString[];
}

/** Returns true if the link source is intact afterwards. Links an intact inode of a tree back, which leaves the tree as it is; otherwise copies the content. */
export function repairChunk(request: RepairRequest, sidecar: Sidecar): boolean {
  const { chunks, profile, owner, entry, ordinal, staged, others } = request;
  const inodes = new LayerInodes(sidecar, profile, owner);
  const expected = expectedInode(inodes, entry);
  const target = chunkPath(chunks, inodes.inode(entry), ordinal);
  for (const candidate of candidates(request, sidecar, toByteString(target))) {
    if (!hashFile(candidate, expected.size)?.equals(expected.chunk)) continue;
    try {
      if (!others.includes(candidate) || checkChunk(candidate, expected, true).length > 0) copyInode(candidate, staged, expected);
      else linkSync(fsPath(candidate), staged);
      removeDirectory(target);
      replaceChunk(target, staged, () => checkChunk(toByteString(target), expected, true).length === 0);
      return true;
    } finally {
      rmSync(staged, { force: true });
    }
  }
  return false;
}

/** Yields files of trees first, because their inode may be intact; then the file itself, its ordinals, and other inodes of the layer with this content. */
function* candidates({ others, chunks, owner, entry }: RepairRequest, sidecar: Sidecar, target: ByteString): Generator<ByteString> {
  yield* others;
  yield target;
  for (const profile of PROFILES) {
    for (const path of new LayerContent(new LayerInodes(sidecar, profile, owner), chunks).candidates(entry)) yield toByteString(path);
  }
}

/** A copy may keep the owner and mode of its source. This state matches nothing, so both are always set. */
const ANY_STATE: FileState = { self: { uid: -1, gid: -1 }, mode: -1 };

function copyInode(from: ByteString, staged: string, { attributes, mtime }: ExpectedInode): void {
  writeFileSync(staged, "", { flag: "wx", mode: 0o600 });
  copyFileSync(fsPath(from), staged);
  const fd = openSync(staged, "r+");
  try {
    const seconds = mtime >= 0n ? mtime / 1_000_000_000n : -((-mtime + 999_999_999n) / 1_000_000_000n);
    applyToFile(fd, attributes, { mtime: Number(seconds), mtimeNs: Number(mtime - seconds * 1_000_000_000n) }, ANY_STATE);
  } finally {
    closeSync(fd);
  }
}

/** Removes a directory that has the name of a link source: the rename would fail. */
function removeDirectory(path: string): void {
  try {
    if (lstatSync(path).isDirectory()) rmSync(path, { recursive: true });
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
