/** Name of the lease of a mounted image. `target` is absolute, without symlinks. */
export function mountLease(target: string): string {
  return `mount:${target}`;
}
