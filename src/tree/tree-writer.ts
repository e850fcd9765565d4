/**
 * Writes one tree in staging from its layer's sidecar, in phases: any worker writes any range of entries, and a phase starts after the previous
 * one. Symlinks of the image are created after all other writes, so no path is resolved through one. Directories get their attributes when
 * their entries exist; modes that would deny access come last, deepest first.
 */
import { closeSync, mkdirSync, openSync, unlinkSync } from "node:fs";
import { Flag } from "../../format/index.ts";
import { fsPath, type ByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { applyToPath, processOwner } from "../store/attributes.ts";
import { MadeInodes } from "../store/made-inodes.ts";
import { ABSENT, COPIED, STAGED } from "../store/staged-state.ts";
import { S_IFCHR, S_IFREG, type Owner } from "../store/profile.ts";
import { mknod, setPathXattr } from "../system/syscalls.ts";
import { Linker } from "./linker.ts";
import { createRegular, createSpecial, tryLink } from "./create-inode.ts";
import { within } from "./layer-entries.ts";
import type { Phase } from "./tree-phases.ts";
import { LinkSourceTrust } from "./link-source-trust.ts";
import { OCI_OPAQUE, ociWhiteout, OPAQUE_XATTR, type TreePlan } from "./tree-plan.ts";

export class TreeWriter {
  readonly #plan: TreePlan;
  readonly #linker: Linker;
  readonly #self: Owner = processOwner();

  /** `name` makes temporary files unique within the staging directory. */
  constructor(plan: TreePlan, name: string) {
    const { chunks, staging, trust, made } = plan.task;
    this.#plan = plan;
    this.#linker = new Linker({
      chunks,
      staging,
      name,
      trust: new LinkSourceTrust(chunks, trust),
      made: made && new MadeInodes(made),
      ownTargets: true,
    });
  }

  /** Entries [from, to). */
  run(phase: Phase, from: number, to: number): void {
    switch (phase) {
      case "directories":
        return this.#makeDirectories(from, to);
      case "files":
        return this.#makeFiles(from, to);
      case "specials":
        return this.#makeSpecials(from, to);
      case "links":
        this.#makeMarkers();
        return this.#makeLateLinks();
      case "attributes":
        return this.#applyAttributes(from, to);
      case "attributes-last":
        return this.#applyLast();
    }
  }

  /** Creates directories with mode 0700 at first. The tree's own directory exists. */
  #makeDirectories(from: number, to: number): void {
    const plan = this.#plan;
    for (const entry of within(plan.entries.directories, from, to)) if (plan.state(entry) === ABSENT) makeWithParents(plan.pathOf(entry));
  }

  /** Creates files with or without content. */
  #makeFiles(from: number, to: number): void {
    const plan = this.#plan;
    for (const entry of within(plan.entries.files, from, to)) {
      const state = plan.state(entry);
      if (state === STAGED && plan.ordinal(entry) === 0) continue;
      const path = plan.pathOf(entry);
      if (state === COPIED && plan.ordinal(entry) > 0) this.#linker.name(plan.linkSource(entry), fsPath(path));
      else {
        if (state !== ABSENT) unlinkSync(fsPath(path));
        if (plan.hasContent(entry)) this.#linker.link(plan.linkSource(entry), fsPath(path));
        else createRegular({ plan, entry, path, self: this.#self });
      }
    }
  }

  #makeSpecials(from: number, to: number): void {
    const plan = this.#plan;
    for (const entry of within(plan.entries.specials, from, to)) createSpecial({ plan, entry, path: plan.pathOf(entry), self: this.#self });
  }

  #applyAttributes(from: number, to: number): void {
    if (from === 0 && this.#isOpen(0)) this.#applyTo(0);
    for (const entry of within(this.#plan.entries.directories, from, to)) if (this.#isOpen(entry)) this.#applyTo(entry);
  }

  #applyLast(): void {
    const closed = this.#plan.entries.directories.filter((entry) => !this.#isOpen(entry));
    for (const entry of closed.reverse()) this.#applyTo(entry);
    if (!this.#isOpen(0)) this.#applyTo(0);
  }

  #applyTo(entry: number): void {
    applyToPath(this.#plan.pathOf(entry), this.#plan.attributes(entry), this.#plan.time(entry), this.#self);
  }

  /** True if this process can still access the entries of a directory with its final attributes. */
  #isOpen(entry: number): boolean {
    const { mode, uid } = this.#plan.attributes(entry);
    return uid === this.#self.uid && (mode & 0o700) === 0o700;
  }

  /** Creates whiteouts and opaque directories in the form of the profile. */
  #makeMarkers(): void {
    const { profile } = this.#plan.task;
    for (const entry of this.#plan.entries.markers) {
      const path = this.#plan.pathOf(entry);
      if (this.#plan.flag(entry, Flag.whiteout)) {
        if (profile === "oci") makeMarkerFile(ociWhiteout(path));
        else mknod(path, S_IFCHR);
      }
      if (this.#plan.flag(entry, Flag.opaque)) {
        if (profile === "oci") makeMarkerFile(`${path}/${OCI_OPAQUE}` as ByteString);
        else setPathXattr(path, OPAQUE_XATTR[profile], "y" as ByteString);
      }
    }
  }

  /**
   * Links the other names of hard-link groups to their first name, since the link source may be another inode by now. Continues with a new
   * inode if a group has more names than the file system allows (EMLINK).
   */
  #makeLateLinks(): void {
    const { sidecar } = this.#plan;
    const full = new Map<number, number>();
    for (let row = 0; row < sidecar.hardLinkCount; row++) {
      const [entry, leader] = sidecar.hardLinkAt(row);
      if (entry === leader) continue;
      if (tryLink(this.#plan.pathOf(full.get(leader) ?? leader), this.#plan.pathOf(entry))) continue;
      this.#makeAnew(entry);
      full.set(leader, entry);
    }
  }

  #makeAnew(entry: number): void {
    const plan = this.#plan;
    const path = plan.pathOf(entry);
    if (plan.isLinked(entry)) this.#linker.link(plan.linkSource(entry), fsPath(path));
    else if (plan.type(entry) === S_IFREG) createRegular({ plan, entry, path, self: this.#self });
    else createSpecial({ plan, entry, path, self: this.#self });
  }
}

/** Another worker may create the parents concurrently, or may have created this directory as a parent. */
function makeWithParents(path: ByteString): void {
  try {
    mkdirSync(fsPath(path), { mode: 0o700 });
  } catch (error) {
    if (isErrno(error, "EEXIST")) return;
    if (!isErrno(error, "ENOENT")) throw error;
    mkdirSync(fsPath(path), { mode: 0o700, recursive: true });
  }
}

function makeMarkerFile(path: ByteString): void {
  closeSync(openSync(fsPath(path), "wx", 0o600));
}
