import xxhash from "xxhash-wasm";

/** XXH64 with seed 0. */
export type Xxh64 = (bytes: Uint8Array) => bigint;

// One instance for the process: it has no state between calls, and compiling it for each open would be slow.
const instance: Promise<Xxh64> = createXxh64();

export function loadXxh64(): Promise<Xxh64> {
  return instance;
}

/** Most bytes for the module's one-shot hash: it grows its memory to the input and never frees it. */
const PIECE = 65_536;

async function createXxh64(): Promise<Xxh64> {
  const xxh = await xxhash();
  return (bytes) => {
    if (bytes.length <= PIECE) return xxh.h64Raw(bytes);
    const state = xxh.create64();
    for (let at = 0; at < bytes.length; at += PIECE) state.update(bytes.subarray(at, at + PIECE));
    return state.digest();
  };
}
