/** Exit codes: one for each class of errors, so that a script can tell what to do next. */

/** In the order of their numbers; docs/cli.md has them too. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [0, "done"],
  [1, "failed otherwise; the line on standard error has the code"],
  [2, "the command line, or a reference, digest or platform in it, was not understood"],
  [3, "not there: no such image, platform, layer, path, lease or pin"],
  [4, "the registry cannot be reached or answers wrongly; trying again may help"],
  [5, "credentials are missing, wrong or not enough"],
  [6, "the image is refused: it is damaged, malformed, unsupported or beyond a limit"],
  [7, "the store is unusable: not a store, damaged, busy, too new or not writable"],
  [8, "no space left, or too little"],
  [9, "it is pinned"],
  [130, "interrupted by SIGINT or SIGTERM; nothing half-made is visible"],
];

export const INTERRUPTED = 130;

const BY_PREFIX: readonly (readonly [RegExp, number])[] = [
  [/^(?:USAGE|REFERENCE_INVALID|DIGEST_INVALID|PLATFORM_INVALID)$/, 2],
  [/^(?:IMAGE_NOT_FOUND|BLOB_NOT_FOUND|PLATFORM_NOT_FOUND|NOT_CACHED|LEASE_NOT_FOUND|NOT_PINNED|PATH_.*)$/, 3],
  [/^(?:REGISTRY_UNAUTHORIZED|REGISTRY_DENIED|CREDENTIAL_HELPER_FAILED)$/, 5],
  [/^REGISTRY_.*$/, 4],
  [/^(?:DIGEST_MISMATCH|SIZE_MISMATCH|SOURCE_INVALID|(?:MANIFEST|CONFIG|LAYER|TAR|LIMIT)_.*)$/, 6],
  [/^(?:STORE_.*|NOT_A_STORE|SIDECAR_INVALID)$/, 7],
  [/^(?:NO_SPACE|LOW_DISK)$/, 8],
  [/^REFERENCE_PINNED$/, 9],
];

export function exitCodeOf(code: string): number {
  return BY_PREFIX.find(([pattern]) => pattern.test(code))?.[1] ?? 1;
}
