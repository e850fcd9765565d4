/** An incomplete file in staging, which will get a name in chunks/. */
import { closeSync, linkSync, unlinkSync } from "node:fs";
import { COPIED } from "../../store/staged-state.ts";
import { replaceChunk } from "../../store/replace-chunk.ts";
import { linkIfAbsent } from "../../system/link-if-absent.ts";
import { renameIfAbsent } from "../../system/rename-if-absent.ts";

export class StagedFile {
  readonly fd: number;
  /** It is in a staged tree, and stays there when it is published in chunks/. */
  readonly placed: boolean;
  readonly #path: string | Buffer;
  #open = true;
  /** Its name in staging must not be removed: it was renamed, or belongs to a tree. */
  #settled = false;

  /** Owns the open file `fd`, whose only name is `path`. */
  constructor(fd: number, path: string | Buffer, { placed }: { readonly placed: boolean }) {
    this.fd = fd;
    this.#path = path;
    this.placed = placed;
  }

  close(): void {
    if (this.#open) closeSync(this.fd);
    this.#open = false;
  }

  /** Publishes the complete file; false if the name exists. Creates the parent directory. */
  appear(name: string): boolean {
    return (this.#settled = this.placed ? linkIfAbsent(this.#path, name) : renameIfAbsent(this.#path as string, name));
  }

  /** Publishes it in place of the existing file; false if that is intact by now. `spare`: a free name in staging. */
  replace(name: string, spare: string, isGood: () => boolean): boolean {
    if (this.placed) linkSync(this.#path, spare);
    const replaced = replaceChunk(name, this.placed ? spare : (this.#path as string), isGood);
    if (replaced) this.#settled = true;
    else if (this.placed) unlinkSync(spare);
    return replaced;
  }

  /** Keeps the complete file in its tree, without a name in chunks/. */
  stay(): typeof COPIED {
    this.close();
    this.#settled = true;
    return COPIED;
  }

  /** Removes the file unless it was published. Idempotent. */
  discard(): void {
    this.close();
    if (!this.#settled) unlinkSync(this.#path);
    this.#settled = true;
  }
}
