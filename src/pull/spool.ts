/**
 * The beginning of a blob on disk: what has come is written beside the work, unsynced, so that a download that was cut off, by
 * the death of its process too, goes on where it stopped. Nothing here is trusted: whoever reads hashes all of it.
 */
import { existsSync, fstatSync, ftruncateSync, mkdirSync, read, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { isErrno } from "../errors.ts";
import { FileLock } from "../system/file-lock.ts";

const READ_BYTES = 1024 * 1024;
const readAt = promisify(read);

export class Spool implements Disposable {
  readonly #lock: FileLock;
  readonly #size: number;
  #length: number;
  /** False once the disk refused: the download goes on without. */
  #usable = true;

  private constructor(lock: FileLock, size: number) {
    this.#lock = lock;
    this.#size = size;
    this.#length = fstatSync(lock.fd).size;
    if (this.#length > size) this.#truncate();
  }

  /** Of a blob of `size` bytes; undefined while another holds it, or where no file can be made. */
  static open(path: string, size: number): Spool | undefined {
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      const lock = FileLock.try(path);
      if (lock === undefined) return undefined;
      try {
        if (fstatSync(lock.fd).nlink > 0) return new Spool(lock, size);
      } catch (error) {
        lock.release();
        throw error;
      }
      // removed between open and lock
      lock.release();
      return undefined;
    } catch (error) {
      if (isErrno(error, "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "ENFILE")) return undefined;
      throw error;
    }
  }

  /** What may lie there is not needed any more; it stays while another holds it. */
  static discard(path: string): void {
    if (!existsSync(path)) return;
    using lock = FileLock.try(path);
    if (lock !== undefined) rmSync(path, { force: true });
  }

  /** Bytes that need not be fetched. */
  get length(): number {
    return this.#length;
  }

  /** The blob from its first byte: what is here, then what `fetch` gives from there on, which is kept as it passes. */
  async *read(fetch: (offset: number) => AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const replayed = this.#length;
    for (let at = 0; at < replayed;) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, replayed - at));
      const { bytesRead } = await readAt(this.#lock.fd, buffer, 0, buffer.length, at);
      if (bytesRead === 0) break;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    if (this.#length === this.#size) return;
    for await (const chunk of fetch(this.#length)) {
      this.#append(chunk);
      yield chunk;
    }
  }

  /** What is here is wrong, or not needed any more. The file goes at the end: until then it may be filled anew. */
  clear(): void {
    this.#truncate();
  }

  /** The whole blob, verified by the caller, goes to `path`. */
  moveTo(path: string): void {
    if (!this.#usable || this.#length !== this.#size) return;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    renameSync(this.#lock.path, path);
  }

  /** What is here stays for the next. */
  [Symbol.dispose](): void {
    try {
      if (this.#length === 0) rmSync(this.#lock.path, { force: true });
    } finally {
      this.#lock.release();
    }
  }

  /** Written before it is passed on: the chunk's memory is the receiver's then. */
  #append(chunk: Uint8Array): void {
    if (!this.#usable) return;
    try {
      for (let done = 0; done < chunk.length;) {
        const written = writeSync(this.#lock.fd, chunk, done, chunk.length - done, this.#length);
        done += written;
        this.#length += written;
      }
    } catch (error) {
      if (!isErrno(error)) throw error;
      this.#usable = false;
      this.clear();
    }
  }

  #truncate(): void {
    ftruncateSync(this.#lock.fd, 0);
    this.#length = 0;
  }
}
