/** The findings of fsck, as data. Kinds are stable; docs/fsck.md explains each. */

/** `error`: an image is damaged or lost (a MUST of format/store.md). `warning`: the object can be made again at some cost. `note`: waste, or work in progress. */
export type Severity = "error" | "warning" | "note";

export type FindingKind =
  | "root-permissions"
  | "superblock-missing"
  | "superblock-invalid"
  | "directory-missing"
  | "name-foreign"
  | "reference-damaged"
  | "reference-dangling"
  | "lease-damaged"
  | "record-damaged"
  | "record-layer-missing"
  | "manifest-missing"
  | "manifest-damaged"
  | "config-missing"
  | "config-damaged"
  | "document-unused"
  | "layer-record"
  | "layer-content"
  | "sidecar-missing"
  | "sidecar-invalid"
  | "headers-missing"
  | "headers-invalid"
  | "chunk-missing"
  | "chunk-type"
  | "chunk-size"
  | "chunk-mode"
  | "chunk-owner"
  | "chunk-mtime"
  | "chunk-xattr"
  | "chunk-content"
  | "chunk-unused"
  | "tree-difference"
  | "tree-unknown"
  | "catalog-missing"
  | "catalog-damaged"
  | "catalog-incomplete"
  | "catalog-stale"
  | "catalog-busy"
  | "lock-type"
  | "staging-leftover";

const SEVERITIES: Readonly<Record<FindingKind, Severity>> = {
  "root-permissions": "error",
  "superblock-missing": "error",
  "superblock-invalid": "error",
  "directory-missing": "warning",
  "name-foreign": "warning",
  "reference-damaged": "warning",
  "reference-dangling": "warning",
  "lease-damaged": "error",
  "record-damaged": "warning",
  "record-layer-missing": "note",
  "manifest-missing": "warning",
  "manifest-damaged": "warning",
  "config-missing": "warning",
  "config-damaged": "warning",
  "document-unused": "note",
  "layer-record": "error",
  "layer-content": "error",
  "sidecar-missing": "error",
  "sidecar-invalid": "error",
  "headers-missing": "error",
  "headers-invalid": "error",
  "chunk-missing": "error",
  "chunk-type": "error",
  "chunk-size": "error",
  "chunk-mode": "error",
  "chunk-owner": "error",
  "chunk-mtime": "error",
  "chunk-xattr": "error",
  "chunk-content": "error",
  "chunk-unused": "note",
  "tree-difference": "error",
  "tree-unknown": "note",
  "catalog-missing": "warning",
  "catalog-damaged": "warning",
  "catalog-incomplete": "error",
  "catalog-stale": "note",
  "catalog-busy": "note",
  "lock-type": "error",
  "staging-leftover": "note",
};

/** `corrected`, or `would-correct` in a dry run, only if a repair was requested. `left`: no repair was requested or possible. */
export type FindingState = "left" | "corrected" | "would-correct";

export interface Finding {
  readonly kind: FindingKind;
  readonly severity: Severity;
  /** The damaged object: a path relative to the root of the store. */
  readonly object: string;
  /** The position in the object: an escaped path in a tree, or a byte offset in a file. */
  readonly path?: string;
  readonly expected?: string;
  readonly found?: string;
  /** For a damaged link source: ids of the trees that have it. It was changed through one of them, and they all show the damage. */
  readonly trees?: readonly string[];
  /** References of the affected images, or manifest digests of those without a reference. */
  readonly images?: readonly string[];
  readonly state: FindingState;
  /** A description of what the repair did or would do. */
  readonly repair?: string;
}

export type FindingDetails = Partial<Omit<Finding, "kind" | "severity" | "object" | "state">>;

export function finding(kind: FindingKind, object: string, details: FindingDetails = {}): Finding {
  return { kind, severity: SEVERITIES[kind], object, ...details, state: "left" };
}

/** Returns the exit status of fsck(8): 0 no fault, 1 corrected, 4 left uncorrected. Notes that are left do not count. */
export function exitStatus(findings: Iterable<Finding>): number {
  let status = 0;
  for (const { severity, state } of findings) {
    if (state === "corrected") status |= 1;
    else if (severity !== "note") status |= 4;
  }
  return status;
}
