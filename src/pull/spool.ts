/**
 * The received part of a blob on disk. Bytes are written unsynced while they are used, so that a download continues where it stopped,
 * even if its process was killed. The content is not trusted: the reader hashes all of it.
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
  /** False after a write error: the download continues without the file. */
  #usable = true;

  private constructor(lock: FileLock, size: number) {
    this.#lock = lock;
    this.#size = size;
    this.#length = fstatSync(lock.fd).size;
    if (this.#length > size) this.#truncate();
  }

  /** For a blob of `size` bytes. Undefined if another process holds the file, or if it cannot be created. */
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
      // another process removed the file between open and lock
      lock.release();
      return undefined;
    } catch (error) {
      if (isErrno(error, "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "ENFILE")) return undefined;
      throw error;
    }
  }

  /** Removes the file, unless another process holds it. */
  static discard(path: string): void {
    if (!existsSync(path)) return;
    using lock = FileLock.try(path);
    if (lock !== undefined) rmSync(path, { force: true });
  }

  /** Bytes that are on disk. */
  get length(): number {
    return this.#length;
  }

  /** The blob from its first byte: the bytes on disk, then those of `fetch`, which are appended to the file. */
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

  /** Empties the file. Disposing removes it, unless it was filled again. */
  clear(): void {
    this.#truncate();
  }

  /** Moves the complete blob, which the caller has verified, to `path`. */
  moveTo(path: string): void {
    if (!this.#usable || this.#length !== this.#size) return;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    renameSync(this.#lock.path, path);
  }

  /** Releases the file; keeps it for the next pull if it has content. */
  [Symbol.dispose](): void {
    try {
      if (this.#length === 0) rmSync(this.#lock.path, { force: true });
    } finally {
      this.#lock.release();
    }
  }

  /** Writes before the chunk is passed on: after that, its memory belongs to the receiver. */
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
