/** Memory outside the JavaScript heap, given back before a garbage collection comes to it. */

/**
 * Frees what `bytes` are in, if they have a whole buffer to themselves: they have no length afterwards. Only for who owns the
 * memory and has read all that is wanted of it; what shares a buffer with others (Node's pool, a part of a larger one) stays as it is.
 */
export function freeBuffer({ buffer, byteLength }: Uint8Array): void {
  if (byteLength > 0 && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
