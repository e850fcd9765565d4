/** A result as the benchmark writes it, with a peer that is missing and one that failed. */
import type { ColdRow, Result, Sample } from "../../../tools/bench/result.ts";

export function sampleOf(wall: number): Sample {
  const costs = { wall, cpu: wall * 1.5, registryCpu: 0.2, peakRss: 200 * 1024 ** 2, sync: 0.1 };
  return { ...costs, written: 500e6, cancelled: 100e6, spool: 50e6, disk: 600e6, inodes: 40_000, names: 80_000 };
}

export function sampleResult(): Result {
  const floor = { inflate: 0.5, blobDigest: 0.1, layerDigest: 0.3, framing: 0.1, fileDigests: 0.3, create: 1, link: 0.5 };
  const cold: ColdRow[] = [
    { image: "node", peer: "shale", samples: [2, 4, 3].map(sampleOf) },
    { image: "node", peer: "podman", samples: [6, 6, 9].map(sampleOf) },
    { image: "node", peer: "umoci & <others>", samples: [], failure: "it fell | over" },
  ];
  const times = { image: "node", name: "shale", times: [0.001, 0.002, 0.003] };
  return {
    conditions: { date: "2026-01-02", machine: "2 cores", software: "Node 24", rounds: 3, cachesDropped: true, emptied: 1 },
    images: [{ tag: "node", what: "base; nodejs", layers: 2, bytes: 165e6, entries: 41_500, unpacked: 477e6 }],
    peers: [{ name: "shale" }, { name: "podman" }, { name: "umoci & <others>" }, { name: "containerd", missing: "ctr not installed" }],
    cold,
    floors: [{ image: "node", samples: [floor, floor, floor] }],
    cached: [{ ...times, systemCalls: 18 }],
    trees: [{ ...times, cpu: [0.1, 0.2, 0.3] }],
    sharing: [{ peer: "shale", first: [sampleOf(2)], second: [{ ...sampleOf(1), written: 5e6 }] }],
    disk: [
      { peer: "distinct contents of files", images: ["node", "node-2"], disk: [400e6, 400e6] },
      { peer: "shale", images: ["node", "node-2"], disk: [440e6, 460e6] },
    ],
    removal: [],
  };
}
