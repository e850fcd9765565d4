/**
 * Writes one tree from its layer's sidecar, in staging: directories first, then files (any range of entries by any worker), then
 * all that must come last. The image's symlinks appear when nothing else is written any more, so no path is ever walked through
 * one; directories get their attributes at the very end, deepest first.
 */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { Flag } from "../../format/index.ts";
import { fsPath, type ByteString } from "../bytes.ts";
import { applyToPath, processOwner } from "../store/attributes.ts";
import { S_IFCHR, S_IFREG, type Owner } from "../store/profile.ts";
import { mknod, setPathXattr } from "../system/syscalls.ts";
import { Linker } from "./link-source.ts";
import { makeRegular, makeSpecial, tryLink } from "./make-node.ts";
import { SourceTrust } from "./source-trust.ts";
import { OCI_OPAQUE, ociWhiteout, OPAQUE_XATTR, type TreePlan } from "./tree-plan.ts";

export class TreeWriter {
  readonly #plan: TreePlan;
  readonly #linker: Linker;
  readonly #self: Owner = processOwner();

  /** `name` tells this writer's temporary files from another's in the same staging directory. */
  constructor(plan: TreePlan, name: string) {
    const { chunks, staging, trust } = plan.task;
    this.#plan = plan;
    this.#linker = new Linker({ chunks, staging, name, trust: new SourceTrust(chunks, trust) });
  }

  /** The tree's own directory and all beneath it, 0700 for now. */
  makeDirectories(): void {
    const wanted = (entry: number): boolean => this.#plan.isDirectory(entry);
    for (const { path } of this.#plan.entries({ wanted })) mkdirSync(fsPath(path), { mode: 0o700 });
  }

  /** Files with content or without, among the entries [from, to). */
  makeFiles(from: number, to: number): void {
    const plan = this.#plan;
    const wanted = (entry: number): boolean => plan.type(entry) === S_IFREG && plan.isLeader(entry);
    for (const { entry, path } of plan.entries({ from, to, wanted })) {
      if (plan.isLinked(entry)) this.#linker.link(plan.source(entry), fsPath(path));
      else makeRegular({ plan, entry, path, self: this.#self });
    }
  }

  /** Everything else; the tree is then complete. */
  finish(): void {
    const plan = this.#plan;
    const wanted = (entry: number): boolean => plan.isSpecial(entry) && plan.isLeader(entry);
    for (const { entry, path } of plan.entries({ wanted })) makeSpecial({ plan, entry, path, self: this.#self });
    this.#makeMarkers();
    this.#makeLateLinks();
    const directories = [...plan.entries({ wanted: (entry) => plan.isDirectory(entry) })];
    for (const { entry, path } of directories.reverse()) applyToPath(path, plan.attributes(entry), plan.time(entry), this.#self);
  }

  /** Whiteouts and opaque directories, in the form that the profile's consumers know. */
  #makeMarkers(): void {
    const { profile } = this.#plan.task;
    const wanted = (entry: number): boolean => this.#plan.flag(entry, Flag.whiteout | Flag.opaque);
    for (const { entry, path } of this.#plan.entries({ wanted })) {
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
   * Further names of hard-link groups, from the first: a link source could be another inode by now. A group of more names than
   * the file system gives one inode (EMLINK) goes on with another.
   */
  #makeLateLinks(): void {
    const { sidecar } = this.#plan;
    const full = new Map<number, number>();
    for (let row = 0; row < sidecar.hardLinkCount; row++) {
      const [entry, leader] = sidecar.hardLinkAt(row);
      if (entry === leader) continue;
      if (tryLink(this.#plan.place(full.get(leader) ?? leader), this.#plan.place(entry))) continue;
      this.#makeAnew(entry);
      full.set(leader, entry);
    }
  }

  #makeAnew(entry: number): void {
    const plan = this.#plan;
    const path = plan.place(entry);
    if (plan.isLinked(entry)) this.#linker.link(plan.source(entry), fsPath(path));
    else if (plan.type(entry) === S_IFREG) makeRegular({ plan, entry, path, self: this.#self });
    else makeSpecial({ plan, entry, path, self: this.#self });
  }
}

function makeMarkerFile(path: ByteString): void {
  closeSync(openSync(fsPath(path), "wx", 0o600));
}
