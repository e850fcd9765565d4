/** A file in the making, in staging, on its way to a name in chunks/. */
import { closeSync, linkSync, unlinkSync } from "node:fs";
import { COPIED } from "../../store/placing.ts";
import { replaceChunk } from "../../store/replace-chunk.ts";
import { linkIfAbsent } from "../../system/link-if-absent.ts";
import { renameIfAbsent } from "../../system/rename-if-absent.ts";

export class StagedFile {
  readonly fd: number;
  /** It stands in a staged tree, and stays there when it appears in chunks/. */
  readonly placed: boolean;
  readonly #path: string | Buffer;
  #open = true;
  /** Its name in staging is not to be removed: it is gone, or a tree's. */
  #settled = false;

  /** Owns the open file `fd`, which has the name `path` alone. */
  constructor(fd: number, path: string | Buffer, { placed }: { readonly placed: boolean }) {
    this.fd = fd;
    this.#path = path;
    this.placed = placed;
  }

  close(): void {
    if (this.#open) closeSync(this.fd);
    this.#open = false;
  }

  /** Gives the file, which is whole, its name; false when something has that. Makes the directory that it belongs in. */
  appear(name: string): boolean {
    return (this.#settled = this.placed ? linkIfAbsent(this.#path, name) : renameIfAbsent(this.#path as string, name));
  }

  /** The same in the place of what has the name, unless that is good by now: then false. `spare`: a free name in staging. */
  replace(name: string, spare: string, isGood: () => boolean): boolean {
    if (this.placed) linkSync(this.#path, spare);
    const replaced = replaceChunk(name, this.placed ? spare : (this.#path as string), isGood);
    if (replaced) this.#settled = true;
    else if (this.placed) unlinkSync(spare);
    return replaced;
  }

  /** The file, which is whole, stays in its tree and gets no name in chunks/. */
  stay(): typeof COPIED {
    this.close();
    this.#settled = true;
    return COPIED;
  }

  /** Idempotent; removes the file unless it has appeared. */
  discard(): void {
    this.close();
    if (!this.#settled) unlinkSync(this.#path);
    this.#settled = true;
  }
}
