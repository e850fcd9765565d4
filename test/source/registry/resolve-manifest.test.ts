import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { test } from "node:test";
import { ShaleError } from "../../../src/errors.ts";
import { parseReference } from "../../../src/image/reference.ts";
import { RegistrySource } from "../../../src/source/registry/registry-source.ts";
import { bytesBlob, jsonBlob } from "../../../src/testing/index.ts";
import { descriptorFor, QUICK, startHarness } from "../registry-harness.ts";
import type { SourceEvent } from "../../../src/source/source.ts";

const MANIFEST = /^GET .*\/manifests\//;

test("`resolve()` returns the manifest's bytes, and a descriptor computed from them", async () => {
  await using harness = await startHarness();
  const { bytes, descriptor } = await harness.source.resolve(harness.reference);
  assert.deepEqual(bytes, harness.image.manifest.content);
  assert.deepEqual(descriptor, descriptorFor(harness.image.manifest));
  const [request, ...others] = harness.registry.requests;
  assert.equal(others.length, 0);
  assert.equal(request?.path, "/v2/team/app/manifests/v1");
  assert.equal(request?.headers["accept-encoding"], "identity");
  assert.match(String(request?.headers["accept"]), /application\/vnd\.oci\.image\.index\.v1\+json/);
  assert.equal(request?.headers["authorization"], undefined);
});

test("`resolve()` never requests the tag of a reference with a digest", async () => {
  await using harness = await startHarness();
  const { digest } = harness.image.manifest;
  await harness.source.resolve(parseReference(`${harness.registry.host}/team/app:v1@${digest}`));
  assert.deepEqual(
    harness.registry.requests.map(({ path }) => path),
    [`/v2/team/app/manifests/${digest}`],
  );
});

test("`resolve()` refuses bytes with another digest", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: MANIFEST, action: { kind: "flip", at: 20 } });
  const reference = parseReference(`${harness.registry.host}/team/app@${harness.image.manifest.digest}`);
  await assert.rejects(
    harness.source.resolve(reference),
    (error) =>
      ShaleError.is(error, "DIGEST_MISMATCH") &&
      error.detail.expected === harness.image.manifest.digest &&
      error.detail.what === "manifest",
  );
});

test("`resolve()` checks Docker-Content-Digest against the body, and does not need it", async () => {
  await using harness = await startHarness();
  const wrong = { kind: "headers", headers: { "docker-content-digest": `sha256:${"0".repeat(64)}` } } as const;
  harness.registry.misbehave({ match: MANIFEST, action: wrong });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "DIGEST_MISMATCH" });
  for (const value of [undefined, "nonsense"]) {
    harness.registry.misbehave({ match: MANIFEST, action: { kind: "headers", headers: { "docker-content-digest": value } } });
    assert.equal((await harness.source.resolve(harness.reference)).descriptor.digest, harness.image.manifest.digest);
  }
});

test("`resolve()` reads a manifest of 3 MiB and refuses one beyond 4 MiB", async () => {
  await using harness = await startHarness();
  const base = JSON.parse(Buffer.from(harness.image.manifest.content as Uint8Array).toString()) as object;
  const sized = (bytes: number): ReturnType<typeof jsonBlob> =>
    jsonBlob(harness.image.manifest.mediaType, { ...base, annotations: { filler: "x".repeat(bytes) } });
  const [fits, tooLong] = [sized(3 << 20), sized(4 << 20)];
  for (const blob of [fits, tooLong]) harness.registry.pushBlob("team/app", blob);
  const by = (digest: string): ReturnType<typeof parseReference> => parseReference(`${harness.registry.host}/team/app@${digest}`);
  assert.equal((await harness.source.resolve(by(fits.digest))).bytes.length, fits.size);
  await assert.rejects(harness.source.resolve(by(tooLong.digest)), { code: "MANIFEST_TOO_LARGE" });
  const before = harness.registry.requests.length;
  await assert.rejects(harness.source.readManifest(harness.reference, descriptorFor(tooLong)), { code: "MANIFEST_TOO_LARGE" });
  assert.equal(harness.registry.requests.length, before);
});

test("`resolve()` stops reading an endless manifest", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: MANIFEST, action: { kind: "extend", bytes: 64 << 20 } });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "MANIFEST_TOO_LARGE" });
});

test("`readManifest()` verifies size and digest against the descriptor", async () => {
  await using harness = await startHarness();
  const descriptor = descriptorFor(harness.image.manifest);
  assert.deepEqual((await harness.source.readManifest(harness.reference, descriptor)).bytes, harness.image.manifest.content);
  await assert.rejects(harness.source.readManifest(harness.reference, { ...descriptor, size: descriptor.size + 1 }), {
    code: "SIZE_MISMATCH",
  });
  harness.registry.misbehave({ match: MANIFEST, action: { kind: "flip", at: 3 } });
  await assert.rejects(harness.source.readManifest(harness.reference, descriptor), { code: "DIGEST_MISMATCH" });
});

test("`resolve()` accepts a manifest with an unrequested content coding if the encoded or decoded bytes have its digest", async () => {
  await using harness = await startHarness();
  const { content, digest, mediaType } = harness.image.manifest;
  const coded = gzipSync(content as Uint8Array);
  const headers = { "content-encoding": "gzip", "content-type": mediaType, "docker-content-digest": digest };
  harness.registry.misbehave({ match: MANIFEST, times: 2, action: { kind: "respond", status: 200, headers, body: coded } });
  assert.equal((await harness.source.resolve(harness.reference)).descriptor.digest, digest);
  assert.deepEqual((await harness.source.resolve(parseReference(`${harness.registry.host}/team/app@${digest}`))).bytes, content);
  const bomb = gzipSync(Buffer.alloc(100 << 20));
  harness.registry.misbehave({ match: MANIFEST, action: { kind: "respond", status: 200, headers, body: bomb } });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "MANIFEST_INVALID" });
});

test("`resolve()` refuses a login page, a contradicting Content-Type, and schema 1", async () => {
  await using harness = await startHarness();
  const answer = (contentType: string, body: string | Uint8Array): void => {
    const action = { kind: "respond", status: 200, headers: { "content-type": contentType }, body } as const;
    harness.registry.misbehave({ match: MANIFEST, action });
  };
  answer("text/html", "<html>log in</html>");
  await assert.rejects(harness.source.resolve(harness.reference), { code: "MANIFEST_INVALID" });
  answer("application/vnd.docker.distribution.manifest.v2+json", harness.image.manifest.content as Uint8Array);
  await assert.rejects(harness.source.resolve(harness.reference), { code: "MANIFEST_INVALID" });
  answer("application/vnd.docker.distribution.manifest.v1+prettyjws", '{"schemaVersion":1,"fsLayers":[]}');
  await assert.rejects(harness.source.resolve(harness.reference), { code: "MANIFEST_UNSUPPORTED" });
});

test("`resolve()` distinguishes not found, denied, unauthorized and failing", async () => {
  await using harness = await startHarness();
  const absent = parseReference(`${harness.registry.host}/team/app:absent`);
  await assert.rejects(
    harness.source.resolve(absent),
    (error) => ShaleError.is(error, "IMAGE_NOT_FOUND") && error.detail.reference === `${harness.registry.host}/team/app:absent`,
  );
  for (const [status, code] of [
    [401, "REGISTRY_UNAUTHORIZED"],
    [403, "REGISTRY_DENIED"],
    [418, "REGISTRY_ERROR"],
    [204, "REGISTRY_ERROR"],
  ] as const) {
    harness.registry.misbehave({ match: MANIFEST, action: { kind: "respond", status } });
    await assert.rejects(
      harness.source.resolve(harness.reference),
      (error) =>
        ShaleError.is(error, code) && (code !== "REGISTRY_ERROR" || (ShaleError.is(error, code) && error.detail.status === status)),
    );
  }
});

test("`resolve()` shows the registry's explanation, escaped and bounded, however long it is", async () => {
  await using harness = await startHarness();
  const body = JSON.stringify({ errors: [{ code: "DENIED", message: `\u001b[2J${"x".repeat(5000)}` }] });
  harness.registry.misbehave({ match: MANIFEST, action: { kind: "respond", status: 403, body } });
  await assert.rejects(
    harness.source.resolve(harness.reference),
    (error) =>
      ShaleError.is(error, "REGISTRY_DENIED") &&
      error.message.includes("DENIED") &&
      !error.message.includes("\u001b") &&
      error.message.length < 1000,
  );
  harness.registry.misbehave({ match: MANIFEST, action: { kind: "respond", status: 403, body: Buffer.alloc(32 << 20, "<p>") } });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_DENIED" });
});

for (const status of [408, 429, 500, 502, 503, 504]) {
  test(`\`resolve()\` retries after ${status}, as often as the policy says`, async () => {
    await using harness = await startHarness();
    harness.registry.misbehave({ match: MANIFEST, times: 2, action: { kind: "respond", status } });
    await harness.source.resolve(harness.reference);
    assert.equal(harness.registry.requests.length, 3);
    harness.registry.misbehave({ match: MANIFEST, times: 9, action: { kind: "respond", status } });
    await assert.rejects(
      harness.source.resolve(harness.reference),
      (error) => ShaleError.is(error, "REGISTRY_ERROR") && error.detail.status === status,
    );
    assert.equal(harness.registry.requests.length, 6);
  });
}

test("`resolve()` honours Retry-After up to its limit", async () => {
  await using harness = await startHarness();
  const busy = (seconds: string) => ({ kind: "respond", status: 429, headers: { "retry-after": seconds } }) as const;
  harness.registry.misbehave({ match: MANIFEST, action: busy("1") });
  const delays: number[] = [];
  const onEvent = (event: SourceEvent): unknown => event.kind === "retrying" && delays.push(event.delayMs);
  await harness.source.resolve(harness.reference, { onEvent });
  assert.ok(delays.length === 1 && delays[0]! >= 1000, String(delays));
  harness.registry.misbehave({ match: MANIFEST, action: busy("86400") });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_ERROR" });
  assert.equal(harness.registry.requests.length, 3);
});

test("`resolve()` retries when the connection ends without an answer or in the body", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: MANIFEST, action: { kind: "drop" } }, { match: MANIFEST, action: { kind: "cut", after: 10 } });
  assert.equal((await harness.source.resolve(harness.reference)).descriptor.digest, harness.image.manifest.digest);
  assert.equal(harness.registry.requests.length, 3);
});

test("`resolve()` fails with REGISTRY_UNREACHABLE when no server listens, and keeps the cause", async () => {
  const harness = await startHarness();
  await harness.registry.close();
  await assert.rejects(
    harness.source.resolve(harness.reference),
    (error) => ShaleError.is(error, "REGISTRY_UNREACHABLE") && error.detail.host === harness.registry.host && error.cause instanceof Error,
  );
  await harness.source.close();
});

test("`resolve()` uses plain HTTP only where it is allowed", async () => {
  await using harness = await startHarness();
  await using strict = new ClosingSource({ retry: QUICK });
  await assert.rejects(strict.resolve(harness.reference), { code: "REGISTRY_UNREACHABLE" });
  await using listed = new ClosingSource({ plainHttp: ["elsewhere:1"], retry: QUICK });
  await assert.rejects(listed.resolve(harness.reference), { code: "REGISTRY_UNREACHABLE" });
  assert.equal(harness.registry.requests.length, 0);
  await using allowed = new ClosingSource({ plainHttp: [harness.registry.host] });
  await allowed.resolve(harness.reference);
});

class ClosingSource extends RegistrySource {
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

test("`resolve()` rejects with the signal's own reason, before and while it waits", async () => {
  await using harness = await startHarness();
  const reason = new Error("enough");
  await assert.rejects(harness.source.resolve(harness.reference, { signal: AbortSignal.abort(reason) }), (error) => error === reason);
  assert.equal(harness.registry.requests.length, 0);
  const controller = new AbortController();
  const silence = { kind: "handle", handle: () => controller.abort(reason) } as const;
  harness.registry.misbehave({ match: MANIFEST, action: silence });
  await assert.rejects(harness.source.resolve(harness.reference, { signal: controller.signal }), (error) => error === reason);
});

test("`resolve()` rejects with the signal's own reason during the connection attempt", { timeout: 20_000 }, async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  // the server never answers the TLS handshake
  const { port } = server.address() as AddressInfo;
  await using source = new ClosingSource({ credentials: "anonymous", hostDirectories: [], http: { connectTimeout: 60_000 } });
  const [controller, reason] = [new AbortController(), new Error("enough")];
  server.once("connection", () => controller.abort(reason));
  const resolved = source.resolve(parseReference(`127.0.0.1:${port}/team/app:v1`), { signal: controller.signal });
  await assert.rejects(resolved, (error) => error === reason);
  for (const socket of sockets) socket.destroy();
  server.close();
});

test("`resolve()` gives up on a server that accepts connections and sends nothing", async () => {
  await using harness = await startHarness({}, { http: { headersTimeout: 100 }, retry: { ...QUICK, tries: 1 } });
  harness.registry.misbehave({ match: MANIFEST, action: { kind: "handle", handle: () => undefined } });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNREACHABLE" });
});

test("`close()` ends current requests and refuses later ones", async () => {
  await using harness = await startHarness();
  harness.registry.misbehave({ match: MANIFEST, action: { kind: "handle", handle: () => void harness.source.close() } });
  await assert.rejects(harness.source.resolve(harness.reference));
  await harness.source.close();
  await assert.rejects(harness.source.resolve(harness.reference), TypeError);
});

test("`readManifest()` refuses a blob of another kind as a manifest", async () => {
  await using harness = await startHarness();
  const blob = bytesBlob(Buffer.from("{}"), "application/vnd.oci.image.manifest.v1+json");
  harness.registry.pushBlob("team/app", blob);
  await assert.rejects(harness.source.readManifest(harness.reference, descriptorFor(blob)), { code: "MANIFEST_INVALID" });
});
