/** Frees memory outside the JavaScript heap before the garbage collector would. */

/**
 * Frees the buffer of `bytes` if they occupy all of it; their length is 0 afterwards. Only for the owner of the memory, when its content is no
 * longer needed. Bytes in a shared buffer (Node's pool, a part of a larger buffer) are left as they are.
 */
export function freeBuffer({ buffer, byteLength }: Uint8Array): void {
  if (byteLength > 0 && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
