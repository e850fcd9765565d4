/** The cost of each fault of a registry: all requests for the blob, and all bytes that were sent for it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SourceEvent } from "../../../src/source/source.ts";
import type { Fault, FaultAction } from "../../../src/testing/index.ts";
import { BLOB_SIZE, QUICK, startHarness } from "../registry-harness.ts";

const BLOB = /^GET .*\/blobs\//;
const SIZE = BLOB_SIZE;
const CUT: FaultAction = { kind: "cut", after: 100_000 };
const TOLD: FaultAction = { kind: "respond", status: 503, headers: { "retry-after": "1" } };

interface Case {
  readonly name: string;
  readonly actions: readonly FaultAction[];
  /** Status, first requested byte (-1: no Range), bytes sent. */
  readonly requests: readonly (readonly [status: number, start: number, bytes: number])[];
  readonly code?: string;
  readonly atLeastMs?: number;
}

const status = (code: number, headers: Readonly<Record<string, string>> = {}): FaultAction => ({ kind: "respond", status: code, headers });
const contentRange = (value: string): FaultAction => ({ kind: "headers", headers: { "content-range": value } });
const inTwoSeconds = (): string => new Date(Date.now() + 2000).toUTCString();
const REST = SIZE - 100_000;

const CASES: readonly Case[] = [
  { name: "nothing is wrong", actions: [], requests: [[200, -1, SIZE]] },
  ...[408, 429, 500, 502, 503, 504].map((code) => ({
    name: `the first answer is ${code}`,
    actions: [status(code)],
    requests: [
      [code, -1, 0],
      [200, -1, SIZE],
    ] as const,
  })),
  ...[429, 503].map((code) => ({
    name: `a resume is answered ${code}`,
    actions: [CUT, status(code)],
    requests: [
      [200, -1, 100_000],
      [code, 100_000, 0],
      [206, 100_000, REST],
    ] as const,
  })),
  {
    name: "it asks for a second by Retry-After",
    actions: [TOLD],
    requests: [
      [503, -1, 0],
      [200, -1, SIZE],
    ],
    atLeastMs: 900,
  },
  {
    name: "it asks for a moment by a date",
    actions: [{ kind: "handle", handle: (_, response) => response.writeHead(429, { "retry-after": inTwoSeconds() }).end() }],
    requests: [
      [0, -1, 0],
      [200, -1, SIZE],
    ],
    atLeastMs: 800,
  },
  { name: "it asks for an hour", actions: [status(429, { "retry-after": "3600" })], requests: [[429, -1, 0]], code: "REGISTRY_ERROR" },
  {
    name: "it is never ready",
    actions: [status(503), status(503), status(503)],
    requests: [
      [503, -1, 0],
      [503, -1, 0],
      [503, -1, 0],
    ],
    code: "REGISTRY_ERROR",
  },
  {
    name: "the connection breaks twice",
    actions: [CUT, CUT],
    requests: [
      [200, -1, 100_000],
      [206, 100_000, 100_000],
      [206, 200_000, 100_000],
    ],
  },
  {
    name: "the body stalls",
    actions: [{ kind: "stall", after: 100_000 }],
    requests: [
      [200, -1, 100_000],
      [206, 100_000, REST],
    ],
  },
  {
    name: "a resume is answered from the first byte",
    actions: [CUT, { kind: "ignore-range" }],
    requests: [
      [200, -1, 100_000],
      [200, 100_000, SIZE],
    ],
  },
  ...[
    "bytes 0-299999/300000",
    "bytes 99999-299999/300000",
    "bytes 100001-299999/300000",
    "bytes */300000",
    "bytes 100000-299999",
    "lines 1-2/3",
  ].map((value) => ({
    name: `a resume is answered with Content-Range ${value}`,
    actions: [CUT, contentRange(value)],
    requests: [
      [200, -1, 100_000],
      [206, 100_000, REST],
      [200, -1, SIZE],
    ] as const,
  })),
  {
    name: "a resume is answered for a blob of another size",
    actions: [CUT, contentRange("bytes 100000-299999/300001")],
    requests: [
      [200, -1, 100_000],
      [206, 100_000, REST],
    ],
    code: "SIZE_MISMATCH",
  },
  { name: "the blob is too long", actions: [{ kind: "extend", bytes: 100 }], requests: [[200, -1, SIZE + 100]], code: "SIZE_MISMATCH" },
  {
    name: "the blob is too short",
    actions: [{ kind: "headers", headers: { "content-length": String(SIZE - 1) } }],
    requests: [[200, -1, SIZE]],
    code: "SIZE_MISMATCH",
  },
];

for (const { name, actions, requests, code, atLeastMs = 0 } of CASES) {
  const sum = requests.reduce((total, [, , bytes]) => total + bytes, 0);
  test(`\`readBlob()\` ${code === undefined ? "takes" : `fails with ${code} after`} ${sum} bytes in ${requests.length} requests when ${name}`, async () => {
    await using harness = await startHarness({}, { http: { stallTimeout: 500 }, retry: { ...QUICK, maxDelayMs: 3000 } });
    harness.registry.misbehave(...actions.map((action): Fault => ({ match: BLOB, action })));
    const started = performance.now();
    if (code === undefined) assert.ok((await harness.read()).equals(harness.bytes));
    else await assert.rejects(harness.read(), { code });
    assert.ok(performance.now() - started >= atLeastMs);
    const asked = harness.registry.requestsTo(BLOB);
    const seen = asked.map((request, index) => [request.status, harness.ranges[index]]);
    assert.deepEqual(
      seen,
      requests.map(([answered, start]) => [answered, start]),
    );
    // bytes sent after the client disconnected do not reach it
    assert.ok(
      harness.registry.bytesSent <= sum && (code !== undefined || harness.registry.bytesSent >= SIZE),
      `${harness.registry.bytesSent} of ${sum}`,
    );
  });
}

test("`readBlob()` gives up on a server that sends almost nothing in each answer", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: BLOB, times: 1000, action: { kind: "cut", after: 10 } });
  await assert.rejects(harness.read(), { code: "REGISTRY_UNREACHABLE" });
  assert.equal(harness.registry.requestsTo(BLOB).length, 3);
  assert.equal(harness.registry.bytesSent, 30);
});

test("`readBlob()` gets one new token when the old one expires during the transfer, and yields no byte twice", async () => {
  await using harness = await startHarness({ auth: { kind: "token" } });
  harness.registry.misbehave({ match: BLOB, after: 1, action: CUT }, { match: BLOB, after: 1, action: { kind: "revoke-tokens" } });
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.deepEqual(
    harness.registry.requestsTo(BLOB).map(({ status: code, bytes }) => [code, code === 401 ? 0 : bytes]),
    [
      [401, 0],
      [200, 100_000],
      [401, 0],
      [206, REST],
    ],
  );
  assert.equal(harness.registry.requestsTo(/token/).length, 2);
});

test("`readBlob()` doubles its delay with jitter, within the policy", async () => {
  const policy = { tries: 5, firstDelayMs: 16, maxDelayMs: 100 };
  const all: number[][] = [];
  for (let round = 0; round < 4; round++) {
    await using harness = await startHarness({}, { retry: policy });
    harness.registry.misbehave({ match: BLOB, times: 4, action: status(503) });
    const delays: number[] = [];
    const onEvent = (event: SourceEvent): void => void (event.kind === "retrying" && delays.push(event.delayMs));
    await harness.read({ onEvent });
    for (const [index, delay] of delays.entries()) {
      const most = Math.min(16 * 2 ** index, 100);
      assert.ok(delay >= Math.floor(most / 2) && delay <= most, `${delay} of ${most}`);
    }
    all.push(delays);
  }
  assert.ok(all.every((delays) => delays.length === 4));
  assert.ok(new Set(all.map((delays) => delays.join(" "))).size > 1);
});
