/** What HTTP/2 and parallel ranges are worth here: `node dist/test/support/measure-network.js [ROUNDS]` prints the figures of docs/registries.md. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { argv } from "node:process";
import { parseReference } from "../../src/image/reference.ts";
import { RegistrySource, type RegistrySourceOptions } from "../../src/source/registry/registry-source.ts";
import { bytesBlob, startRegistry, type TestBlob } from "../../src/testing/index.ts";
import { makeAuthority } from "./certificates.ts";
import { startSlowProxy } from "./slow-proxy.ts";

const MIB = 1024 * 1024;
const SIZE: number = 64 * MIB;
/** Its bytes do not matter. */
const BYTES: Buffer = Buffer.alloc(SIZE, "shale");
const BLOB: TestBlob = {
  ...bytesBlob(BYTES, "application/octet-stream"),
  content: async function* (offset: number) {
    for (let at = offset; at < SIZE; at += 256 * 1024) yield BYTES.subarray(at, at + 256 * 1024);
  },
};

if (process.send !== undefined) await serve();
else await measure(Number(argv[2] ?? 3));

async function serve(): Promise<void> {
  const authority = await makeAuthority("measurement");
  const tls = { ...(await authority.issue("IP:127.0.0.1")), http2: true };
  const registry = await startRegistry({ tls });
  registry.pushBlob("team/app", BLOB);
  process.send?.({ host: registry.host, ca: authority.cert });
}

async function measure(rounds: number): Promise<void> {
  const server = fork(new URL(import.meta.url).pathname, ["serve"]);
  const [{ host, ca }] = (await once(server, "message")) as [{ host: string; ca: string }];
  await using narrow = await startSlowProxy({ to: host, latencyMs: 20, bytesPerSecond: 10 * MIB });
  const parallelRanges = { count: 4, minBytes: 0 };
  const kinds: Readonly<Record<string, RegistrySourceOptions>> = {
    "HTTP/1.1": {},
    "HTTP/2": { http2: true },
    "HTTP/1.1, 4 ranges": { parallelRanges },
    "HTTP/2, 4 ranges": { http2: true, parallelRanges },
  };
  for (const [way, at] of [
    ["loopback", host],
    ["20 ms, 10 MiB/s a connection", narrow.host],
  ] as const) {
    for (const blobs of [1, 3]) {
      for (const [kind, options] of Object.entries(kinds)) {
        const runs: { wall: number; cpu: number }[] = [];
        for (let round = 0; round < (at === host ? rounds : 1); round++) runs.push(await readAll(at, blobs, { ...options, ca }));
        const best = (of: (run: { wall: number; cpu: number }) => number): string => Math.min(...runs.map(of)).toFixed(2);
        console.log(`${way} | ${blobs} x 64 MiB | ${kind} | ${best(({ wall }) => wall)} s | ${best(({ cpu }) => cpu)} s CPU`);
      }
    }
  }
  server.kill();
}

async function readAll(host: string, blobs: number, options: RegistrySourceOptions): Promise<{ wall: number; cpu: number }> {
  const source = new RegistrySource({ hostDirectories: [], credentials: "anonymous", ...options });
  const [started, before] = [performance.now(), process.cpuUsage()];
  const { digest, size, mediaType } = BLOB;
  const reads = Array.from({ length: blobs }, async () => {
    for await (const chunk of source.readBlob(parseReference(`${host}/team/app:v1`), { digest, size, mediaType })) void chunk;
  });
  await Promise.all(reads);
  const { user, system } = process.cpuUsage(before);
  await source.close();
  return { wall: (performance.now() - started) / 1000, cpu: (user + system) / 1e6 };
}
