import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { ShaleError } from "../../../src/errors.ts";
import type { Credentials } from "../../../src/source/auth/credentials.ts";
import { startRegistry, type FaultAction, type RecordedRequest } from "../../../src/testing/index.ts";
import { QUICK, startHarness } from "../registry-harness.ts";

const TOKEN = / \/token/;
const USER = { username: "user", password: "secret" };
const BASIC = `Basic ${Buffer.from("user:secret").toString("base64")}`;
/** 127.0.0.1, the registry's address, counts as public; all other addresses count as private. */
const OUTSIDE = { http: { isPrivate: (address: string) => address !== "127.0.0.1" } };

function authorizations(requests: readonly RecordedRequest[]): readonly unknown[] {
  return requests.map(({ headers }) => headers["authorization"]);
}

test("`RegistrySource` gets an anonymous token and uses it from then on", async () => {
  await using harness = await startHarness({ auth: { kind: "token" } });
  await harness.source.resolve(harness.reference);
  await harness.read();
  const { requests } = harness.registry;
  assert.deepEqual(
    requests.map(({ status }) => status),
    [401, 200, 200, 200],
  );
  const url = new URL(requests[1]?.path ?? "", "http://x");
  assert.equal(url.searchParams.get("scope"), "repository:team/app:pull");
  assert.equal(url.searchParams.get("service"), "test");
  assert.equal(requests[1]?.headers["authorization"], undefined);
});

test("`RegistrySource` sends credentials to the token server, and only the token to the registry", async () => {
  await using harness = await startHarness({ auth: { kind: "token", ...USER } }, { credentials: USER });
  await harness.source.resolve(harness.reference);
  assert.deepEqual(authorizations(harness.registry.requestsTo(TOKEN)), [BASIC]);
  const [first, second] = authorizations(harness.registry.requestsTo(/\/v2\//));
  assert.equal(first, undefined);
  assert.match(String(second), /^Bearer /);
});

test("`RegistrySource` requests credentials by the registry's name, and accepts a promise", async () => {
  const asked: string[] = [];
  const credentials = (host: string): Promise<Credentials> => {
    asked.push(host);
    return Promise.resolve(USER);
  };
  await using harness = await startHarness({ auth: { kind: "basic", ...USER } }, { credentials });
  await harness.source.resolve(harness.reference);
  await harness.source.resolve(harness.reference);
  assert.deepEqual(asked, [harness.registry.host]);
  assert.deepEqual(authorizations(harness.registry.requests), [undefined, BASIC, BASIC]);
});

for (const auth of [
  { kind: "basic", ...USER },
  { kind: "token", ...USER },
] as const) {
  for (const credentials of [undefined, { username: "user", password: "wrong" }]) {
    test(`\`RegistrySource\` fails with REGISTRY_UNAUTHORIZED with ${auth.kind} and ${credentials?.password ?? "no"} credentials, without endless retries`, async () => {
      await using harness = await startHarness({ auth }, { credentials });
      await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNAUTHORIZED" });
      assert.ok(harness.registry.requests.length <= 3);
    });
  }
}

test("`RegistrySource` sends one token request for twenty concurrent requests", async () => {
  await using harness = await startHarness({ auth: { kind: "token" } });
  const reads = Array.from({ length: 20 }, () => harness.read());
  for (const bytes of await Promise.all(reads)) assert.ok(bytes.equals(harness.bytes));
  assert.equal(harness.registry.requestsTo(TOKEN).length, 1);
});

test("`RegistrySource` does not cache a failed token request", async () => {
  await using harness = await startHarness({ auth: { kind: "token" } });
  harness.registry.misbehave({ match: TOKEN, action: { kind: "respond", status: 403 } });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_DENIED" });
  await harness.source.resolve(harness.reference);
});

test("`RegistrySource` stops waiting for a busy token server when it is closed", { timeout: 20_000 }, async () => {
  await using harness = await startHarness({ auth: { kind: "token" } }, { retry: { ...QUICK, maxDelayMs: 60_000 } });
  const action: FaultAction = { kind: "respond", status: 503, headers: { "retry-after": "50" } };
  harness.registry.misbehave({ match: TOKEN, action });
  const resolved = harness.source.resolve(harness.reference);
  setTimeout(() => void harness.source.close(), 300);
  await assert.rejects(resolved, TypeError);
});

test("`RegistrySource` retries a busy token server", async () => {
  await using harness = await startHarness({ auth: { kind: "token" } });
  harness.registry.misbehave({ match: TOKEN, times: 2, action: { kind: "respond", status: 503 } });
  await harness.source.resolve(harness.reference);
  assert.equal(harness.registry.requestsTo(TOKEN).length, 3);
});

test("`RegistrySource` gets one new token when the old one is refused during a blob", async () => {
  await using harness = await startHarness({ auth: { kind: "token" } });
  await harness.source.resolve(harness.reference);
  harness.registry.misbehave({ match: /blobs/, action: { kind: "cut", after: 100_000 } });
  const chunks: Uint8Array[] = [];
  for await (const chunk of harness.source.readBlob(harness.reference, harness.descriptor)) {
    if (chunks.length === 0) harness.registry.revokeTokens();
    chunks.push(chunk);
  }
  assert.ok(Buffer.concat(chunks).equals(harness.bytes));
  assert.deepEqual(harness.ranges, [-1, 100_000, 100_000]);
  assert.equal(harness.registry.requestsTo(TOKEN).length, 2);
});

test("`RegistrySource` fails with REGISTRY_UNAUTHORIZED when a new token is also refused", async () => {
  await using harness = await startHarness({ auth: { kind: "token" } });
  const challenge = { "www-authenticate": `Bearer realm="${harness.registry.origin}/token"` };
  harness.registry.misbehave({ match: /manifests/, times: 9, action: { kind: "respond", status: 401, headers: challenge } });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNAUTHORIZED" });
  assert.equal(harness.registry.requestsTo(/manifests/).length, 2);
});

for (const answer of [
  "{}",
  '{"token":""}',
  '{"token":7}',
  "no json",
  '{"token":"a b"}',
  '{"token":"a\\nb"}',
  "[]",
  `{"token":"${"x".repeat(1 << 20)}"}`,
]) {
  test(`\`RegistrySource\` refuses the token answer ${answer.slice(0, 20)}`, async () => {
    await using harness = await startHarness({ auth: { kind: "token" } });
    harness.registry.misbehave({ match: TOKEN, action: { kind: "respond", status: 200, body: answer } });
    await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNAUTHORIZED" });
  });
}

test("`RegistrySource` accepts access_token instead of token, and any expires_in", async () => {
  for (const answer of [
    '{"access_token":"t"}',
    '{"token":"t","access_token":"u","expires_in":0}',
    '{"token":"t","expires_in":-5}',
    '{"token":"t","expires_in":"x"}',
  ]) {
    await using other = await startHarness();
    const challenge = { "www-authenticate": `Bearer realm="${other.registry.origin}/token"` };
    other.registry.misbehave({ match: /manifests/, action: { kind: "respond", status: 401, headers: challenge } });
    other.registry.misbehave({ match: TOKEN, action: { kind: "respond", status: 200, body: answer } });
    await other.source.resolve(other.reference);
    await other.source.resolve(other.reference);
    assert.deepEqual(authorizations(other.registry.requestsTo(/manifests/)), [undefined, "Bearer t", "Bearer t"]);
  }
});

test("`RegistrySource` prefers Bearer to Basic, and ignores unknown schemes", async () => {
  await using harness = await startHarness({ auth: { kind: "token", ...USER } }, { credentials: USER });
  const challenge = `Negotiate, Basic realm="x", Bearer realm="${harness.registry.origin}/token",service="test"`;
  harness.registry.misbehave({ match: /manifests/, action: { kind: "respond", status: 401, headers: { "www-authenticate": challenge } } });
  await harness.source.resolve(harness.reference);
  assert.match(String(authorizations(harness.registry.requestsTo(/manifests/))[1]), /^Bearer /);
});

test("`RegistrySource` posts an identity token, and falls back to GET if the server does not support POST", async () => {
  const auth = { kind: "token", identityToken: "refresh", username: "user", password: "refresh" } as const;
  await using modern = await startHarness({ auth }, { credentials: { username: "user", identityToken: "refresh" } });
  await modern.source.resolve(modern.reference);
  assert.deepEqual(
    modern.registry.requestsTo(TOKEN).map(({ method, headers }) => [method, headers["authorization"]]),
    [["POST", undefined]],
  );
  await using old = await startHarness(
    { auth: { kind: "token", username: "user", password: "refresh" } },
    { credentials: { username: "user", identityToken: "refresh" } },
  );
  await old.source.resolve(old.reference);
  assert.deepEqual(
    old.registry.requestsTo(TOKEN).map(({ method }) => method),
    ["POST", "GET"],
  );
});

test("`RegistrySource` sends a registry token unchanged, without a token server", async () => {
  await using harness = await startHarness({ auth: { kind: "token", ...USER } }, { credentials: { ...USER, registryToken: "ready" } });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNAUTHORIZED" });
  assert.deepEqual(authorizations(harness.registry.requests), [undefined, "Bearer ready"]);
});

test("`RegistrySource` falls back to Basic where Bearer names no token server", async () => {
  await using harness = await startHarness({}, { credentials: USER });
  const headers = { "www-authenticate": 'Bearer service="x", Basic realm="y"' };
  harness.registry.misbehave({ match: /manifests/, action: { kind: "respond", status: 401, headers } });
  await harness.source.resolve(harness.reference);
  assert.deepEqual(authorizations(harness.registry.requests), [undefined, BASIC]);
});

test("`RegistrySource` requests a token and credentials for each repository", async () => {
  const asked: string[] = [];
  const credentials = (_host: string, repository: string): Credentials => {
    asked.push(repository);
    return USER;
  };
  await using harness = await startHarness({ auth: { kind: "token", ...USER } }, { credentials });
  harness.registry.push("other/app", "v1", harness.image);
  await harness.source.resolve(harness.reference);
  await harness.source.resolve({ ...harness.reference, repository: "other/app" } as typeof harness.reference);
  assert.deepEqual(asked, ["team/app", "other/app"]);
  const scopes = harness.registry.requestsTo(TOKEN).map(({ path }) => new URL(path, "http://x").searchParams.get("scope"));
  assert.deepEqual(scopes, ["repository:team/app:pull", "repository:other/app:pull"]);
});

test("`RegistrySource` sends its user agent to registries and token servers", async () => {
  await using harness = await startHarness({ auth: { kind: "token" } }, { userAgent: "tester/1" });
  await harness.source.resolve(harness.reference);
  assert.deepEqual(new Set(harness.registry.requests.map(({ headers }) => headers["user-agent"])), new Set(["tester/1"]));
});

for (const realm of ["file:///etc/passwd", "not a url", "ftp://example.com/", "http://user:pw@127.0.0.1/token", ""]) {
  test(`\`RegistrySource\` refuses the realm ${JSON.stringify(realm)}`, async () => {
    await using harness = await startHarness({ auth: { kind: "token", realm } });
    await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNAUTHORIZED" });
    assert.equal(harness.registry.requests.length, 1);
  });
}

test("`RegistrySource` sends no credentials to a token server on another site", async () => {
  await using stranger = await startRegistry({ address: "127.0.0.2", auth: { kind: "token" } });
  await using harness = await startHarness({ auth: { kind: "token", realm: `${stranger.origin}/token` } }, { credentials: USER });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNAUTHORIZED" });
  assert.deepEqual(authorizations(stranger.requests), [undefined]);
  assert.ok(!JSON.stringify(authorizations(harness.registry.requests)).includes("Basic"));
});

test("`RegistrySource` refuses a token server with a private address from a public registry", async () => {
  await using inside = await startRegistry({ address: "127.0.0.2", auth: { kind: "token" } });
  await using harness = await startHarness({ auth: { kind: "token", realm: `${inside.origin}/token` } }, { ...OUTSIDE, credentials: USER });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNREACHABLE" });
  assert.equal(inside.requests.length, 0);
});

test("`RegistrySource` checks the address that a token server's name resolves to", async () => {
  await using inside = await startRegistry({ auth: { kind: "token" } });
  const realm = `http://localhost:${inside.host.split(":")[1]}/token`;
  const isPrivate = (address: string): boolean => address === "127.0.0.1" || address === "::1";
  await using harness = await startHarness({ address: "127.0.0.3", auth: { kind: "token", realm } }, { http: { isPrivate } });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNREACHABLE" });
  assert.equal(inside.requests.length, 0);
});

test("`RegistrySource` follows no redirect of a token server", async () => {
  await using stranger = await startRegistry({ auth: { kind: "token" } });
  await using harness = await startHarness({ auth: { kind: "token", ...USER } }, { credentials: USER });
  harness.registry.misbehave({ match: TOKEN, action: { kind: "redirect", location: `${stranger.origin}/token` } });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNAUTHORIZED" });
  assert.equal(stranger.requests.length, 0);
});

for (const status of [301, 302, 303, 307, 308]) {
  test(`\`RegistrySource\` follows a ${status} to another origin without Authorization, with Range`, async () => {
    await using storage = await startRegistry();
    await using harness = await startHarness({ auth: { kind: "basic", ...USER } }, { credentials: USER });
    storage.push("team/app", "v1", harness.image);
    await harness.source.resolve(harness.reference);
    const location = `${storage.origin}/v2/team/app/blobs/${harness.blob.digest}?signature=secret`;
    harness.registry.misbehave({ match: /blobs/, action: { kind: "redirect", status, location } });
    assert.ok((await harness.read({ offset: 100 })).equals(harness.bytes.subarray(100)));
    assert.deepEqual(authorizations(harness.registry.requestsTo(/blobs/)), [BASIC]);
    assert.deepEqual(authorizations(storage.requests), [undefined]);
    assert.equal(storage.requests[0]?.headers["range"], `bytes=100-${harness.bytes.length - 1}`);
  });
}

test("`RegistrySource` keeps Authorization on a relative redirect, and drops it for good at another origin", async () => {
  await using storage = await startRegistry();
  await using harness = await startHarness({ auth: { kind: "basic", ...USER } }, { credentials: USER });
  const path = `/v2/team/app/manifests/${harness.image.manifest.digest}`;
  harness.registry.misbehave({
    match: /manifests\/v1/,
    times: 2,
    action: { kind: "redirect", location: `../manifests/${harness.image.manifest.digest}` },
  });
  await harness.source.resolve(harness.reference);
  assert.deepEqual(authorizations(harness.registry.requests), [undefined, undefined, BASIC, BASIC]);
  harness.registry.misbehave({ match: /manifests\/v1/, times: 2, action: { kind: "redirect", location: `${storage.origin}/back` } });
  storage.misbehave({ match: /back/, times: 2, action: { kind: "redirect", location: `${harness.registry.origin}${path}` } });
  harness.registry.requests.length = 0;
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_UNAUTHORIZED" });
  assert.deepEqual(authorizations(harness.registry.requests), [BASIC, undefined, BASIC, undefined]);
  assert.deepEqual(authorizations(storage.requests), [undefined, undefined]);
});

test("`RegistrySource` answers no challenge of a host that it was redirected to", async () => {
  await using storage = await startRegistry({ auth: { kind: "basic", ...USER } });
  await using harness = await startHarness({}, { credentials: USER });
  harness.registry.misbehave({
    match: /blobs/,
    action: { kind: "redirect", location: `${storage.origin}/v2/team/app/blobs/${harness.blob.digest}` },
  });
  await assert.rejects(harness.read(), { code: "REGISTRY_UNAUTHORIZED" });
  assert.deepEqual(authorizations(storage.requests), [undefined]);
});

for (const [what, location] of [
  ["no Location", ""],
  ["a Location that is no URL", "http://[::1"],
  ["another scheme", "file:///etc/passwd"],
] as const) {
  test(`\`RegistrySource\` refuses a redirect with ${what}`, async () => {
    await using harness = await startHarness();
    const headers = location === "" ? {} : { location };
    const action: FaultAction = { kind: "respond", status: 302, headers };
    harness.registry.misbehave({ match: /manifests/, action });
    await assert.rejects(
      harness.source.resolve(harness.reference),
      (error) => ShaleError.is(error, "REGISTRY_ERROR") && error.detail.status === 302,
    );
    assert.equal(harness.registry.requests.length, 1);
  });
}

test("`RegistrySource` releases the connection of a refused redirect, however long its body is", { timeout: 20_000 }, async () => {
  await using harness = await startHarness({}, { http: { connectionsPerHost: 1 } });
  const action: FaultAction = { kind: "respond", status: 302, body: Buffer.alloc(4_000_000) };
  harness.registry.misbehave({ match: /manifests/, action });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_ERROR" });
  await harness.source.resolve(harness.reference);
});

test("`RegistrySource` follows five redirects, but not a sixth", async () => {
  await using harness = await startHarness();
  const again = { kind: "redirect", location: "/v2/team/app/manifests/v1" } as const;
  harness.registry.misbehave({ match: /manifests/, times: 5, action: again });
  await harness.source.resolve(harness.reference);
  assert.equal(harness.registry.requests.length, 6);
  harness.registry.misbehave({ match: /manifests/, times: 99, action: again });
  await assert.rejects(harness.source.resolve(harness.reference), { code: "REGISTRY_ERROR" });
  assert.equal(harness.registry.requests.length, 12);
});

test("`RegistrySource` refuses a redirect from a public registry to a private address", async () => {
  await using inside = await startRegistry({ address: "127.0.0.2" });
  await using harness = await startHarness({}, OUTSIDE);
  harness.registry.misbehave({ match: /blobs/, action: { kind: "redirect", location: `${inside.origin}/metadata` } });
  await assert.rejects(harness.read(), { code: "REGISTRY_UNREACHABLE" });
  assert.equal(inside.requests.length, 0);
});

test("`RegistrySource` asks the registry again when a signed URL has expired before a resume", async () => {
  await using storage = await startRegistry();
  await using harness = await startHarness({}, { retry: QUICK });
  storage.push("team/app", "v1", harness.image);
  const location = (): string => `${storage.origin}/v2/team/app/blobs/${harness.blob.digest}?n=${harness.registry.requests.length}`;
  harness.registry.misbehave({ match: /blobs/, times: 2, action: { kind: "redirect", location } });
  storage.misbehave({ match: /blobs/, action: { kind: "cut", after: 100_000 } });
  assert.ok((await harness.read()).equals(harness.bytes));
  assert.deepEqual(harness.ranges, [-1, 100_000]);
  assert.deepEqual(
    storage.requests.map(({ path }) => path.split("?")[1]),
    ["n=1", "n=2"],
  );
});

test("`RegistrySource` shows no secret of a URL in its errors", async () => {
  await using harness = await startHarness({}, { retry: { ...QUICK, tries: 1 } });
  harness.registry.misbehave({ match: /blobs/, action: { kind: "redirect", location: "http://127.0.0.1:9/blob?X-Signature=hunter2" } });
  await assert.rejects(harness.read(), (error) => error instanceof ShaleError && !error.message.includes("hunter2"));
});

for (const [how, fail] of [
  [
    "throws",
    (thrown: Error): Promise<Credentials> => {
      throw thrown;
    },
  ],
  [
    "rejects",
    async (thrown: Error): Promise<Credentials> => {
      await Promise.resolve();
      throw thrown;
    },
  ],
] as const) {
  test(`\`RegistrySource\` rejects with the error of a credentials provider that ${how}, and leaves nothing unhandled`, async () => {
    const error = new Error("the vault is sealed");
    await using unhandled = watchUnhandled();
    await using harness = await startHarness({ auth: { kind: "token", ...USER } }, { credentials: () => fail(error) });
    const both = await Promise.allSettled([harness.source.resolve(harness.reference), harness.read()]);
    for (const outcome of both) assert.equal(outcome.status === "rejected" && outcome.reason, error);
    assert.deepEqual(await unhandled.seen(), []);
    await assert.rejects(harness.source.resolve(harness.reference), (later) => later === error);
  });
}

test("`RegistrySource` leaves no unhandled rejection when a credentials provider rejects after the request was aborted", async () => {
  await using unhandled = watchUnhandled();
  const controller = new AbortController();
  const provided = Promise.withResolvers<Credentials>();
  const credentials = (): Promise<Credentials> => {
    setImmediate(() => controller.abort());
    return provided.promise;
  };
  await using harness = await startHarness({ auth: { kind: "token", ...USER } }, { credentials });
  await assert.rejects(harness.source.resolve(harness.reference, { signal: controller.signal }), { name: "AbortError" });
  provided.reject(new Error("too late"));
  assert.deepEqual(await unhandled.seen(), []);
});

test("`RegistrySource` rejects without showing a token that cannot be a header", async () => {
  const registryToken = "topsecret\nx-injected: 1";
  await using unhandled = watchUnhandled();
  await using harness = await startHarness({ auth: { kind: "token", ...USER } }, { credentials: () => ({ registryToken }) });
  await assert.rejects(harness.source.resolve(harness.reference), (error) => !inspect(error, { depth: 5 }).includes("topsecret"));
  assert.deepEqual(await unhandled.seen(), []);
});

/** Collects unhandled rejections; without this listener one would end the process. */
function watchUnhandled(): AsyncDisposable & { seen(): Promise<readonly unknown[]> } {
  const reasons: unknown[] = [];
  const listener = (reason: unknown): void => void reasons.push(reason);
  process.on("unhandledRejection", listener);
  return {
    seen: async () => {
      // rejections are reported after the microtasks of a turn
      for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
      return reasons;
    },
    [Symbol.asyncDispose]: async () => void process.off("unhandledRejection", listener),
  };
}
