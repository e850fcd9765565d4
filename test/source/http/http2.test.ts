/** HTTP/2: the same bytes despite broken streams and connections. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import { test } from "node:test";
import type { RegistrySourceOptions } from "../../../src/source/registry/registry-source.ts";
import type { RegistryOptions } from "../../../src/testing/index.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { BLOB_SIZE, collect, startHarness, type Harness } from "../registry-harness.ts";

const authority = await makeAuthority("http2");
const certificate = await authority.issue("IP:127.0.0.1");

async function start(source: RegistrySourceOptions = {}, registry: RegistryOptions = {}): Promise<Harness> {
  const tls = { ...certificate, http2: true };
  return startHarness({ tls, ...registry }, { http2: true, plainHttp: false, ca: authority.cert, ...source });
}

/** Status and body size of each answer to a request for the blob. */
function answers({ registry }: Harness): readonly unknown[] {
  return registry.requestsTo(/blobs/).map(({ status, headers, bytes }) => [status, headers["range"], bytes]);
}

const versions = ({ registry }: Harness): ReadonlySet<string> => new Set(registry.requests.map(({ httpVersion }) => httpVersion));

test("`RegistrySource` uses HTTP/2 only if enabled, and only with servers that support it", async () => {
  for (const [http2, server, version] of [
    [false, true, "1.1"],
    [true, true, "2.0"],
    [true, false, "1.1"],
  ] as const) {
    await using harness = await start({ http2 }, { tls: { ...certificate, http2: server } });
    const { descriptor } = await harness.source.resolve(harness.reference);
    assert.equal(descriptor.digest, harness.image.manifest.digest);
    assert.ok((await harness.read()).equals(harness.bytes));
    assert.deepEqual(versions(harness), new Set([version]));
  }
});

test("`RegistrySource` gets tokens, follows redirects and reads ranges over HTTP/2", async () => {
  await using harness = await start(
    { credentials: { username: "u", password: "p" } },
    { auth: { kind: "token", username: "u", password: "p" } },
  );
  await using elsewhere = await start();
  elsewhere.registry.pushBlob("files", harness.blob);
  const location = `${elsewhere.registry.origin}/v2/files/blobs/${harness.blob.digest}`;
  harness.registry.misbehave({
    match: ({ path, headers }) => /blobs/.test(path) && headers["authorization"] !== undefined,
    action: { kind: "redirect", location },
  });
  assert.ok((await harness.read({ offset: 1000, length: 5000 })).equals(harness.bytes.subarray(1000, 6000)));
  const [asked] = elsewhere.registry.requests;
  assert.deepEqual([asked?.httpVersion, asked?.headers["authorization"], asked?.headers["range"]], ["2.0", undefined, "bytes=1000-5999"]);
});

test("`readBlob()` requests the rest when a stream is reset, while another stream of the connection continues", async () => {
  await using harness = await start();
  harness.registry.misbehave({ match: /blobs/, action: { kind: "cut", after: 100_000 } });
  harness.registry.misbehave({ match: /blobs/, action: { kind: "drip", bytes: 100_000, everyMs: 100 } });
  const [first, second] = await Promise.all([harness.read(), harness.read()]);
  assert.ok(first.equals(harness.bytes) && second.equals(harness.bytes));
  assert.equal(harness.registry.requestsTo(/blobs/).length, 3);
  assert.equal(harness.registry.bytesSent, 2 * BLOB_SIZE);
});

type Handle = (request: IncomingMessage, response: ServerResponse) => void;

/** Sends the beginning of the blob, then disturbs its stream or connection. */
function afterBeginning(harness: Harness, act: (response: Http2ServerResponse) => void): Handle {
  return (_request, response) => {
    response.writeHead(200, { "content-length": BLOB_SIZE });
    response.write(harness.bytes.subarray(0, 100_000));
    setTimeout(() => act(response as unknown as Http2ServerResponse), 100);
  };
}

for (const [what, act] of [
  ["closes the connection after a GOAWAY", ({ stream }: Http2ServerResponse) => (stream.session?.goaway(0), stream.session?.destroy())],
  ["closes it after a GOAWAY with an error", ({ stream }: Http2ServerResponse) => (stream.session?.goaway(11), stream.session?.destroy())],
  ["is gone", ({ stream }: Http2ServerResponse) => stream.session?.destroy()],
  ["refuses the stream", ({ stream }: Http2ServerResponse) => stream.close(7)],
  ["calms us down (ENHANCE_YOUR_CALM)", ({ stream }: Http2ServerResponse) => stream.close(11)],
] as const) {
  test(`\`readBlob()\` reads the rest over a new stream when the server ${what}`, async () => {
    await using harness = await start();
    harness.registry.misbehave({ match: /blobs/, action: { kind: "handle", handle: afterBeginning(harness, act) } });
    assert.ok((await harness.read()).equals(harness.bytes));
    assert.deepEqual(answers(harness).slice(1), [[206, `bytes=100000-${BLOB_SIZE - 1}`, BLOB_SIZE - 100_000]]);
  });
}

test("`readBlob()` finishes a stream of a connection that the server is closing, and requests the next blob on another one", async () => {
  await using harness = await start();
  const handle = afterBeginning(harness, (response) => {
    response.stream.session?.goaway(0);
    setTimeout(() => response.end(harness.bytes.subarray(100_000)), 50);
  });
  harness.registry.misbehave({ match: /blobs/, action: { kind: "handle", handle } });
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.ok((await harness.read()).equals(harness.bytes));
  const sent = answers(harness).map((answer) => (answer as unknown[])[1]);
  assert.ok(sent.length === 2 || sent[1] === `bytes=100000-${BLOB_SIZE - 1}`);
});

test("`readBlob()` abandons a stalled stream and requests the rest over the same connection", async () => {
  await using harness = await start({ http: { stallTimeout: 300 } });
  harness.registry.misbehave({ match: /blobs/, action: { kind: "stall", after: 100_000 } });
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.deepEqual(answers(harness), [
    [200, undefined, 100_000],
    [206, `bytes=100000-${BLOB_SIZE - 1}`, BLOB_SIZE - 100_000],
  ]);
});

test("`readBlob()` gives up on a server that always stalls, after `tries` without progress", async () => {
  await using harness = await start({ http: { stallTimeout: 200 } });
  harness.registry.misbehave({ match: /blobs/, times: 9, action: { kind: "stall", after: 0 } });
  await assert.rejects(harness.read(), { code: "REGISTRY_UNREACHABLE" });
  assert.equal(harness.registry.requestsTo(/blobs/).length, 3);
});

test("`readBlob()` is not blocked by unread bodies of the same connection", async () => {
  await using harness = await start();
  const { source, reference, descriptor } = harness;
  const paused = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const body = source.readBlob(reference, descriptor)[Symbol.asyncIterator]();
      await body.next();
      return body;
    }),
  );
  assert.ok((await collect(source.readBlob(reference, descriptor))).equals(harness.bytes));
  for (const body of paused) await body.return?.();
});

test("`readBlob()` over HTTP/2 ends with the signal's reason, and other streams continue", async () => {
  await using harness = await start();
  const abort = new AbortController();
  harness.registry.misbehave({ match: /blobs/, action: { kind: "stall", after: 1000 } });
  const stalled = harness.read({ signal: abort.signal });
  const reason = new Error("enough");
  setTimeout(() => abort.abort(reason), 100);
  await assert.rejects(stalled, reason);
  assert.ok((await harness.read()).equals(harness.bytes));
});
