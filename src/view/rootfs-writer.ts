/**
 * Writes a merged root file system: directories, then files (any worker takes any range of names), then symlinks and devices, other names
 * of hard links, and finally the attributes of directories, deepest first.
 */
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { Flag } from "../../format/index.ts";
import { fsPath, showBytes, type ByteString } from "../bytes.ts";
import { isErrno, ShaleError } from "../errors.ts";
import { LayerContent } from "../tree/layer-content.ts";
import { applyToFile, applyToPath, processOwner } from "../store/attributes.ts";
import { S_IFDIR, S_IFREG, type Owner } from "../store/profile.ts";
import { tryReflink } from "../system/syscalls.ts";
import { LayerInodes } from "../tree/layer-inodes.ts";
import { Linker } from "../tree/linker.ts";
import { createRegular, createSpecial, tryLink, type NewInode } from "../tree/create-inode.ts";
import { LinkSourceTrust } from "../tree/link-source-trust.ts";
import type { RootfsPlan } from "./rootfs-plan.ts";

/** Files with content, by how they were written. */
export interface RootfsCounts {
  readonly linked: number;
  readonly reflinked: number;
  readonly copied: number;
}

const PIECE: number = 256 * 1024;
const ZEROS: Buffer = Buffer.alloc(PIECE);

export class RootfsWriter {
  readonly #plan: RootfsPlan;
  readonly #linker: Linker;
  readonly #contents: (LayerContent | undefined)[] = [];
  readonly #self: Owner = processOwner();
  readonly #buffer: Buffer = Buffer.allocUnsafeSlow(PIECE);
  #counts: { linked: number; reflinked: number; copied: number } = { linked: 0, reflinked: 0, copied: 0 };

  /** `name` makes temporary files unique within the staging directory. */
  constructor(plan: RootfsPlan, name: string) {
    const { chunks, staging, trust } = plan.task;
    this.#plan = plan;
    this.#linker = new Linker({ chunks, staging, name, trust: new LinkSourceTrust(chunks, trust) });
  }

  /** Creates all directories below the existing root, with mode 0700 at first. */
  makeDirectories(): void {
    for (let index = 1; index < this.#plan.length; index++)
      if (this.#isDirectory(index)) mkdirSync(fsPath(this.#plan.pathOf(index)), { mode: 0o700 });
  }

  /** Creates the files among the names [from, to). */
  makeFiles(from: number, to: number): RootfsCounts {
    this.#counts = { linked: 0, reflinked: 0, copied: 0 };
    for (let index = from; index < to; index++) {
      if (!this.#plan.isLate(index) && this.#plan.plan(index).type(this.#plan.entry(index)) === S_IFREG) this.#makeFile(index);
    }
    return this.#counts;
  }

  /** Creates everything else; the root file system is complete then. */
  finish(): void {
    const plan = this.#plan;
    for (let index = 0; index < plan.length; index++) {
      if (plan.plan(index).isSpecial(plan.entry(index)) && !plan.isLate(index)) createSpecial(this.#node(index));
    }
    this.#makeLateLinks();
    for (let index = plan.length - 1; index >= 0; index--)
      if (this.#isDirectory(index)) applyToPath(plan.pathOf(index), plan.attributes(index), plan.time(index), this.#self);
  }

  /** Continues with a new inode if a group has more names than the file system allows for one inode. */
  #makeLateLinks(): void {
    const plan = this.#plan;
    const full = new Map<number, number>();
    for (const [index, first] of plan.lateLinks) {
      if (tryLink(plan.pathOf(full.get(first) ?? first), plan.pathOf(index))) continue;
      if (plan.plan(index).type(plan.entry(index)) === S_IFREG) this.#makeFile(index);
      else createSpecial(this.#node(index));
      full.set(first, index);
    }
  }

  #makeFile(index: number): void {
    if (this.#plan.plan(index).isLinked(this.#plan.entry(index))) this.#bring(index);
    else createRegular(this.#node(index));
  }

  #node(index: number): NewInode {
    return { plan: this.#plan.plan(index), entry: this.#plan.entry(index), path: this.#plan.pathOf(index), self: this.#self };
  }

  #isDirectory(index: number): boolean {
    return this.#plan.plan(index).type(this.#plan.entry(index)) === S_IFDIR;
  }

  #bring(index: number): void {
    const { mode } = this.#plan.task;
    const path = this.#plan.pathOf(index);
    if (mode !== "link") return this.#fill(index, path);
    try {
      this.#linker.link(this.#plan.plan(index).linkSource(this.#plan.entry(index)), fsPath(path));
      this.#counts.linked++;
    } catch (error) {
      if (!isErrno(error, "EXDEV", "EPERM", "ENOTSUP", "EOPNOTSUPP")) throw error;
      const why = isErrno(error, "EXDEV") ? "it is on another file system or mount than the store" : "the kernel does not permit it";
      throw unsupported(path, `cannot be linked to the store: ${why}; use the mode reflink or copy`, { mode, cause: error });
    }
  }

  /** Creates a separate file by reflink or copy. */
  #fill(index: number, path: ByteString): void {
    const { mode, fallback } = this.#plan.task;
    const source = this.#content(index);
    try {
      const target = openSync(fsPath(path), "wx", 0o600);
      try {
        if (mode === "reflink" && tryReflink(target, source)) this.#counts.reflinked++;
        else if (mode === "reflink" && !fallback)
          throw unsupported(path, "cannot share blocks with the store's file system; use the mode copy, or fallback", { mode });
        else {
          this.#copy(source, target, this.#plan.plan(index).flag(this.#plan.entry(index), Flag.sparse));
          this.#counts.copied++;
        }
        applyToFile(target, this.#plan.attributes(index), this.#plan.time(index), { self: this.#self, mode: 0o600 });
      } finally {
        closeSync(target);
      }
    } finally {
      closeSync(source);
    }
  }

  /** The caller closes it. */
  #content(index: number): number {
    const { chunks, native, owner } = this.#plan.task;
    const layer = this.#plan.layer(index);
    const { sidecar } = this.#plan.plan(index);
    this.#contents[layer] ??= new LayerContent(new LayerInodes(sidecar, native, owner), chunks);
    return this.#contents[layer].open(this.#plan.entry(index));
  }

  #copy(source: number, target: number, sparse: boolean): void {
    let at = 0;
    for (let read = readSync(source, this.#buffer); read > 0; read = readSync(source, this.#buffer)) {
      const isHole = sparse && this.#buffer.compare(ZEROS, 0, read, 0, read) === 0;
      for (let done = isHole ? read : 0; done < read;) done += writeSync(target, this.#buffer, done, read - done, at + done);
      at += read;
    }
    if (fstatSync(target).size < at) ftruncateSync(target, at);
  }
}

function unsupported(path: ByteString, why: string, { mode, cause }: { mode: string; cause?: unknown }): ShaleError<"MODE_UNSUPPORTED"> {
  const shown = showBytes(path, 300);
  return new ShaleError("MODE_UNSUPPORTED", `"${shown}" ${why}`, { path: shown, mode }, { cause });
}
