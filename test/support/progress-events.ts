/** Progress events of a pull, for tests of what reads them. */
import type { ProgressEvent } from "../../src/index.ts";

type Resolved = Extract<ProgressEvent, { kind: "resolved" }>;
type DiffId = Resolved["layers"][number]["diffId"];

export function diffId(index: number): DiffId {
  return `sha256:${String(index).padStart(64, "d")}` as DiffId;
}

export function blobDigest(index: number): Resolved["manifestDigest"] {
  return `sha256:${String(index).padEnd(64, "b")}` as Resolved["manifestDigest"];
}

export function resolved(count: number, size = 63_000_000): Resolved {
  const layers = Array.from({ length: count }, (_, index) => ({ diffId: diffId(index), digest: blobDigest(index), size }));
  return { kind: "resolved", reference: "docker.io/library/alpine:latest", manifestDigest: blobDigest(99), layers };
}

/** Events of one layer, from its download to its tree. */
export function wholeLayer(index: number, total = 63_000_000): ProgressEvent[] {
  const layer = { index, diffId: diffId(index) };
  return [
    { kind: "download-started", total, ...layer },
    { kind: "ingest-started", ...layer },
    { kind: "download-advanced", bytes: total / 2, total, ...layer },
    { kind: "ingest-advanced", bytes: total, entries: 4000, ...layer },
    { kind: "download-complete", bytes: total, ...layer },
    { kind: "ingest-advanced", bytes: total * 2, entries: 8000, ...layer },
    { kind: "ingest-complete", bytes: total * 3, entries: 8743, ...layer },
    { kind: "sidecar-started", ...layer },
    { kind: "sidecar-complete", bytes: 800_000, ...layer },
    { kind: "tree-started", total: 8743, ...layer },
    { kind: "tree-advanced", entries: 4000, total: 8743, ...layer },
    { kind: "tree-complete", entries: 8743, ...layer },
  ];
}
