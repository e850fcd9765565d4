/** Totals of a sidecar. */
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { Flag, type Sidecar } from "../../format/index.ts";
import { isErrno } from "../errors.ts";
import { decodeLayerRecord } from "../store/layers.ts";
import { HEADERS, LAYER_RECORD } from "../store/layout.ts";
import { kindOf } from "./entry-text.ts";

export interface SidecarStats {
  readonly entries: number;
  readonly live: number;
  readonly shadowed: number;
  /** Live entries by kind. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly opaque: number;
  readonly implicit: number;
  /** Names of hard-link groups, without the first name of each group. */
  readonly hardLinks: number;
  /** Bytes of live files. A hard-link group counts once. */
  readonly bytes: number;
  readonly chunks: number;
  /** Live files whose content an earlier file has too, and their bytes. */
  readonly duplicates: number;
  readonly duplicateBytes: number;
  readonly sidecarBytes: number;
  /** Only if the layer's other files are in the same directory as the sidecar. */
  readonly headersBytes?: number;
  readonly layerBytes?: number;
}

export function sidecarStats(sidecar: Sidecar, file: string): SidecarStats {
  const kinds: Record<string, number> = {};
  const sum = { opaque: 0, implicit: 0, hardLinks: 0, bytes: 0, duplicates: 0, duplicateBytes: 0 };
  const seen = new Uint8Array(sidecar.chunkCount);
  for (let entry = 0; entry < sidecar.live; entry++) {
    const kind = kindOf(sidecar, entry);
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    const flags = sidecar.flags(entry);
    if (flags & Flag.opaque) sum.opaque++;
    if (flags & Flag.implicit) sum.implicit++;
    const leader = sidecar.leader(entry);
    if (leader >= 0 && leader !== entry) sum.hardLinks++;
    const chunk = sidecar.chunk(entry);
    if (chunk < 0 || kind !== "file" || (leader >= 0 && leader !== entry)) continue;
    sum.bytes += sidecar.size(entry);
    if (seen[chunk]) {
      sum.duplicates++;
      sum.duplicateBytes += sidecar.size(entry);
    }
    seen[chunk] = 1;
  }
  const { count, live, chunkCount } = sidecar;
  const about = { entries: count, live, shadowed: count - live, kinds, ...sum, chunks: chunkCount };
  return { ...about, sidecarBytes: statSync(file).size, ...siblingSizes(file) };
}

export function statsLines(stats: SidecarStats): string[] {
  const { kinds, headersBytes, layerBytes } = stats;
  const overhead = headersBytes !== undefined && layerBytes ? ` (${((100 * headersBytes) / layerBytes).toFixed(2)} % of the layer)` : "";
  return [
    `entries     ${stats.entries}: ${stats.live} live, ${stats.shadowed} shadowed`,
    `kinds       ${Object.entries(kinds)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(", ")}`,
    `directories ${stats.opaque} opaque, ${stats.implicit} implicit`,
    `hard links  ${stats.hardLinks}`,
    `content     ${stats.bytes} bytes in ${stats.chunks} chunks`,
    `duplicates  ${stats.duplicates} files, ${stats.duplicateBytes} bytes`,
    `sidecar     ${stats.sidecarBytes} bytes, ${(stats.sidecarBytes / stats.entries).toFixed(1)} per entry`,
    ...(headersBytes === undefined ? [] : [`headers     ${headersBytes} bytes${overhead}`]),
    ...(layerBytes === undefined ? [] : [`layer       ${layerBytes} bytes`]),
  ];
}

function siblingSizes(file: string): { headersBytes?: number; layerBytes?: number } {
  try {
    const record = decodeLayerRecord(readFileSync(join(dirname(file), LAYER_RECORD)));
    return record ? { headersBytes: statSync(join(dirname(file), HEADERS)).size, layerBytes: record.size } : {};
  } catch (error) {
    // the sidecar is alone, or its layer is damaged, which fsck reports
    if (isErrno(error, "ENOENT", "ENOTDIR")) return {};
    throw error;
  }
}
