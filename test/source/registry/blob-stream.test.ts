import assert from "node:assert/strict";
import { test } from "node:test";
import { ShaleError } from "../../../src/errors.ts";
import { bytesBlob, type FaultAction } from "../../../src/testing/index.ts";
import { BLOB_SIZE, collect, descriptorFor, QUICK, startHarness } from "../registry-harness.ts";

const BLOB = /^GET .*\/blobs\//;

test("`readBlob()` yields the whole blob without asking for a range", async () => {
  await using harness = await startHarness();
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.deepEqual(harness.ranges, [-1]);
});

test("`readBlob()` starts at the offset and stops after the length", async () => {
  await using harness = await startHarness();
  assert.ok((await harness.read({ offset: 1000 })).equals(harness.bytes.subarray(1000)));
  assert.ok((await harness.read({ offset: 1000, length: 5 })).equals(harness.bytes.subarray(1000, 1005)));
  assert.ok((await harness.read({ length: 7 })).equals(harness.bytes.subarray(0, 7)));
  assert.deepEqual(harness.ranges, [1000, 1000, 0]);
  assert.equal(harness.registry.bytesSent, BLOB_SIZE - 1000 + 5 + 7);
});

test("`readBlob()` sends no request for an empty range", async () => {
  await using harness = await startHarness();
  assert.equal((await harness.read({ offset: BLOB_SIZE })).length, 0);
  assert.equal((await harness.read({ offset: 5, length: 0 })).length, 0);
  assert.equal(harness.registry.requests.length, 0);
});

test("`readBlob()` refuses an offset or length outside the blob", async () => {
  await using harness = await startHarness();
  for (const options of [{ offset: -1 }, { offset: BLOB_SIZE + 1 }, { length: BLOB_SIZE + 1 }, { offset: 0.5 }, { length: -1 }]) {
    assert.throws(() => harness.source.readBlob(harness.reference, harness.descriptor, options), RangeError);
  }
});

test("`readBlob()` resumes with a Range request where a connection broke", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave(
    { match: BLOB, action: { kind: "cut", after: 100_000 } },
    { match: BLOB, action: { kind: "cut", after: 50_000 } },
  );
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.deepEqual(harness.ranges, [-1, 100_000, 150_000]);
});

test("`readBlob()` survives more breaks than tries if each connection makes progress", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: BLOB, times: 9, action: { kind: "cut", after: 30_000 } });
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.equal(harness.ranges.length, 10);
});

test("`readBlob()` gives up after the policy's tries without progress, and has yielded the bytes received", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave(
    { match: BLOB, action: { kind: "cut", after: 1000 } },
    { match: BLOB, times: 9, action: { kind: "cut", after: 0 } },
  );
  const got: Uint8Array[] = [];
  await assert.rejects(
    async () => {
      for await (const chunk of harness.source.readBlob(harness.reference, harness.descriptor)) got.push(chunk);
    },
    { code: "REGISTRY_UNREACHABLE" },
  );
  assert.ok(Buffer.concat(got).equals(harness.bytes.subarray(0, 1000)));
  assert.deepEqual(harness.ranges, [-1, 1000, 1000]);
});

test("`readBlob()` skips the bytes that it has when a server ignores Range", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: BLOB, action: { kind: "cut", after: 100_000 } }, { match: BLOB, action: { kind: "ignore-range" } });
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.deepEqual(harness.ranges, [-1, 100_000]);
  harness.registry.misbehave({ match: BLOB, action: { kind: "ignore-range" } });
  assert.ok((await harness.read({ offset: 5000, length: 100 })).equals(harness.bytes.subarray(5000, 5100)));
});

for (const [what, headers] of [
  ["starts elsewhere", { "content-range": `bytes 0-${BLOB_SIZE - 1001}/${BLOB_SIZE}` }],
  ["has no Content-Range", { "content-range": undefined }],
  ["has a malformed Content-Range", { "content-range": "bytes */*" }],
  ["ends before it starts", { "content-range": `bytes 1000-999/${BLOB_SIZE}` }],
  ["ends beyond what was asked", { "content-range": `bytes 1000-${BLOB_SIZE}/*` }],
] as const) {
  test(`\`readBlob()\` falls back to a request without Range when a partial answer ${what}`, async () => {
    await using harness = await startHarness();
    harness.registry.misbehave({ match: BLOB, action: { kind: "headers", headers } });
    assert.ok((await harness.read({ offset: 1000 })).equals(harness.bytes.subarray(1000)));
    assert.deepEqual(harness.ranges, [1000, -1]);
  });
}

test("`readBlob()` falls back to a request without Range after a 416, and refuses a 416 to such a request", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: BLOB, action: { kind: "respond", status: 416 } });
  assert.ok((await harness.read({ offset: 1000 })).equals(harness.bytes.subarray(1000)));
  assert.deepEqual(harness.ranges, [1000, -1]);
  harness.registry.misbehave({ match: BLOB, action: { kind: "respond", status: 416 } });
  await assert.rejects(harness.read(), { code: "REGISTRY_ERROR" });
  const partial = { kind: "respond", status: 206, headers: { "content-range": `bytes 0-9/${BLOB_SIZE}` }, body: "0123456789" } as const;
  harness.registry.misbehave({ match: BLOB, action: partial });
  await assert.rejects(harness.read(), { code: "REGISTRY_ERROR" });
});

test("`readBlob()` requests the rest when a partial answer is shorter than requested", async () => {
  await using harness = await startHarness();
  const headers = { "content-range": `bytes 1000-1099/${BLOB_SIZE}` };
  harness.registry.misbehave({ match: BLOB, action: { kind: "respond", status: 206, headers, body: harness.bytes.subarray(1000, 1100) } });
  assert.ok((await harness.read({ offset: 1000 })).equals(harness.bytes.subarray(1000)));
  assert.deepEqual(harness.ranges, [1000, 1100]);
});

test("`readBlob()` refuses a blob whose size differs in the server's answer", async () => {
  await using harness = await startHarness();
  for (const size of [BLOB_SIZE - 1, BLOB_SIZE + 1]) {
    for (const offset of [0, 10]) {
      await assert.rejects(
        harness.read({ offset }, { ...harness.descriptor, size }),
        (error) =>
          ShaleError.is(error, "SIZE_MISMATCH") &&
          error.detail.expected === size &&
          error.detail.actual === BLOB_SIZE &&
          error.detail.what === "blob",
      );
    }
  }
});

test("`readBlob()` stops at the first extra byte", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: BLOB, action: { kind: "extend", bytes: 64 << 20 } });
  let received = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of harness.source.readBlob(harness.reference, harness.descriptor)) received += chunk.length;
    },
    { code: "SIZE_MISMATCH" },
  );
  assert.ok(received <= BLOB_SIZE);
});

test("`readBlob()` refuses a complete body with too few bytes", async () => {
  await using harness = await startHarness();
  const chunked: FaultAction = {
    kind: "handle",
    handle: (_request, response) => {
      response.writeHead(200);
      response.end(harness.bytes.subarray(0, 5000));
    },
  };
  harness.registry.misbehave({ match: BLOB, action: chunked });
  await assert.rejects(harness.read(), (error) => ShaleError.is(error, "SIZE_MISMATCH") && error.detail.actual === 5000);
});

test("`readBlob()` yields wrong bytes of the right length unchanged, because the caller hashes them", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: BLOB, action: { kind: "flip", at: 123_456 } });
  const got = await harness.read();
  assert.equal(got.length, BLOB_SIZE);
  assert.equal((got[123_456] ?? 0) ^ (harness.bytes[123_456] ?? 0), 1);
});

test("`readBlob()` resumes with a Range request when the server stalls or sends single bytes", async () => {
  await using harness = await startHarness({}, { http: { stallTimeout: 150 } });
  harness.registry.misbehave(
    { match: BLOB, action: { kind: "stall", after: 100_000 } },
    { match: BLOB, action: { kind: "drip", bytes: 10, everyMs: 5 } },
  );
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.equal(harness.ranges.length, 3);
  assert.deepEqual(harness.ranges.slice(0, 2), [-1, 100_000]);
});

test("`readBlob()` does not take a slow reader for a stalled server", async () => {
  await using harness = await startHarness({}, { http: { stallTimeout: 100 } });
  const big = bytesBlob(Buffer.alloc(8 << 20, "x"), "application/vnd.oci.image.layer.v1.tar");
  harness.registry.pushBlob("team/app", big);
  let received = 0;
  for await (const chunk of harness.source.readBlob(harness.reference, descriptorFor(big))) {
    if (received === 0) await new Promise((resolve) => setTimeout(resolve, 1500));
    received += chunk.length;
  }
  assert.equal(received, big.size);
  assert.deepEqual(harness.ranges, [-1]);
});

test("`readBlob()` pauses the connection while the reader is busy", async () => {
  await using harness = await startHarness();
  const big = bytesBlob(Buffer.alloc(64 << 20, "x"), "application/vnd.oci.image.layer.v1.tar");
  let produced = 0;
  const content = async function* (offset: number): AsyncGenerator<Uint8Array> {
    for (let at = offset; at < big.size; at += 1 << 20) {
      produced += 1 << 20;
      yield (big.content as Uint8Array).subarray(at, at + (1 << 20));
    }
  };
  harness.registry.pushBlob("team/app", { ...big, content });
  let first = true;
  for await (const _ of harness.source.readBlob(harness.reference, descriptorFor(big))) {
    if (!first) continue;
    first = false;
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(produced < 32 << 20, `${produced} bytes were sent to a reader that took one chunk`);
  }
  assert.equal(produced, big.size);
});

test("`readBlob()` ends the transfer when the reader leaves the loop", async () => {
  await using harness = await startHarness();
  const closed = Promise.withResolvers<void>();
  const endless: FaultAction = {
    kind: "handle",
    handle: (_request, response) => {
      response.writeHead(200, { "content-length": BLOB_SIZE });
      response.write(harness.bytes.subarray(0, 1000));
      response.on("close", () => closed.resolve());
    },
  };
  harness.registry.misbehave({ match: BLOB, action: endless });
  for await (const chunk of harness.source.readBlob(harness.reference, harness.descriptor)) {
    assert.equal(chunk.length, 1000);
    break;
  }
  await closed.promise;
});

test("`readBlob()` rejects with the signal's own reason in the middle of a body", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: BLOB, action: { kind: "stall", after: 1000 } });
  const controller = new AbortController();
  const reason = new Error("enough");
  let received = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of harness.source.readBlob(harness.reference, harness.descriptor, { signal: controller.signal })) {
        received += chunk.length;
        if (received === 1000) setTimeout(() => controller.abort(reason), 5);
      }
    },
    (error) => error === reason,
  );
  assert.equal(received, 1000);
});

test("`readBlob()` reports a missing blob", async () => {
  await using harness = await startHarness();
  const absent = bytesBlob(Buffer.from("absent"), "application/vnd.oci.image.layer.v1.tar");
  await assert.rejects(
    harness.read({}, descriptorFor(absent)),
    (error) => ShaleError.is(error, "BLOB_NOT_FOUND") && error.detail.digest === absent.digest,
  );
});

test("`readBlob()` retries when a busy registry answers the resumed request", async () => {
  await using harness = await startHarness({}, { retry: QUICK });
  harness.registry.misbehave(
    { match: BLOB, action: { kind: "cut", after: 10_000 } },
    { match: BLOB, times: 2, action: { kind: "respond", status: 503 } },
  );
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.deepEqual(harness.ranges, [-1, 10_000, 10_000, 10_000]);
});

test("`readBlob()` reads several blobs concurrently", async () => {
  await using harness = await startHarness();
  const streams = Array.from({ length: 10 }, () => collect(harness.source.readBlob(harness.reference, harness.descriptor)));
  for (const bytes of await Promise.all(streams)) assert.ok(bytes.equals(harness.bytes));
});
