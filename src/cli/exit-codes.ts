/** Exit codes: one per class of errors, so that a script can decide what to do next. */

/** In numeric order; docs/cli.md lists them, too. */
export const EXIT_CODES: readonly (readonly [code: number, meaning: string])[] = [
  [0, "success"],
  [1, "other failure; the line on standard error has the code"],
  [2, "invalid command line, or an invalid reference, digest or platform in it"],
  [3, "not found: image, platform, layer, path, lease or pin"],
  [4, "the registry is unreachable, or its response is invalid; a retry may help"],
  [5, "credentials are missing, wrong or insufficient"],
  [6, "the image is rejected: damaged, malformed, unsupported or over a limit"],
  [7, "the store is unusable: not a store, damaged, busy, too new or not writable"],
  [8, "too little free disk space"],
  [9, "the reference is pinned"],
  [130, "interrupted by SIGINT or SIGTERM; nothing incomplete is visible"],
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
