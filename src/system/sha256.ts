/**
 * SHA-256 of a few bytes with the OpenSSL inside Node. Loading node:crypto takes 4 ms, and a cached pull, the boot path of every sandbox, only
 * checks two small files.
 */
import { koffi } from "./koffi.ts";

type Sha256 = (data: string | Uint8Array) => Buffer;

const DIGEST_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/** 32 bytes. Text is hashed as UTF-8. */
export const sha256: Sha256 = ofOpenssl() ?? ofNode;

/** Undefined if Node does not export the symbols of its OpenSSL, or if they compute something else. */
function ofOpenssl(): Sha256 | undefined {
  try {
    const digest = koffi.load(null).func("void *SHA256(const void *data, size_t size, void *digest)");
    const hash: Sha256 = (data) => {
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      const result = Buffer.alloc(32);
      return digest(bytes, bytes.length, result) ? result : ofNode(data);
    };
    return hash("abc").toString("hex") === DIGEST_OF_ABC ? hash : undefined;
  } catch {
    // the symbol is missing: use node:crypto
    return undefined;
  }
}

function ofNode(data: string | Uint8Array): Buffer {
  return process.getBuiltinModule("node:crypto").hash("sha256", data, "buffer");
}
