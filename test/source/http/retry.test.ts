import assert from "node:assert/strict";
import { test } from "node:test";
import { ShaleError } from "../../../src/errors.ts";
import { isPrivateAddress } from "../../../src/source/http/private-address.ts";
import { isSameSite } from "../../../src/source/auth/credentials.ts";
import { parseRetryAfter, retry, Transient } from "../../../src/source/http/retry.ts";

test("`isPrivateAddress()` knows what is inside, IPv4 in IPv6 included", () => {
  for (const address of [
    "127.0.0.1",
    "127.9.9.9",
    "10.1.2.3",
    "169.254.169.254",
    "172.31.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
  ]) {
    assert.equal(isPrivateAddress(address), true, address);
  }
  for (const address of ["::1", "[::1]", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "[::ffff:a9fe:a9fe]"]) {
    assert.equal(isPrivateAddress(address), true, address);
  }
  for (const address of ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "localhost", "ghcr.io", ""]) {
    assert.equal(isPrivateAddress(address), false, address);
  }
});

test("`isSameSite()` lets credentials go to the registry's own site only", () => {
  for (const [registry, host] of [
    ["ghcr.io", "ghcr.io"],
    ["registry-1.docker.io", "auth.docker.io"],
    ["registry.gitlab.com", "gitlab.com"],
    ["registry.example.com", "auth.example.com"],
    ["nvcr.io", "authn.nvidia.com"],
    ["localhost", "localhost"],
    ["127.0.0.1", "127.0.0.1"],
  ] as const) {
    assert.equal(isSameSite(registry, host), true, `${registry} ${host}`);
  }
  for (const [registry, host] of [
    ["ghcr.io", "evil.io"],
    ["ghcr.io", "ghcr.io.evil.com"],
    ["registry.example.com", "evil-example.com"],
    ["registry.co.uk", "evil.co.uk"],
    ["shop.com.au", "evil.com.au"],
    ["127.0.0.1", "127.0.0.2"],
    ["10.0.0.1", "9.0.0.1"],
    ["[::1]", "[::2]"],
    ["localhost", "example.localhost.evil"],
  ] as const) {
    assert.equal(isSameSite(registry, host), false, `${registry} ${host}`);
  }
});

test("`parseRetryAfter()` reads seconds and dates, and nothing else", () => {
  const now = Date.parse("2024-01-01T00:00:00Z");
  assert.equal(parseRetryAfter("0", now), 0);
  assert.equal(parseRetryAfter("120", now), 120_000);
  assert.equal(parseRetryAfter("Mon, 01 Jan 2024 00:01:00 GMT", now), 60_000);
  assert.equal(parseRetryAfter("Mon, 01 Jan 2020 00:01:00 GMT", now), 0);
  for (const nothing of [undefined, "", "-5", "soon", "1e9"]) assert.equal(parseRetryAfter(nothing, now), 0);
});

const failure = new ShaleError("REGISTRY_ERROR", "x", { host: "h", status: 503 });
const policy = { tries: 3, firstDelayMs: 1, maxDelayMs: 20 };

test("`retry()` tries as often as the policy says and then throws the error underneath", async () => {
  let calls = 0;
  const attempt = (): Promise<never> => {
    calls++;
    return Promise.reject(new Transient(failure));
  };
  await assert.rejects(retry({ policy }, attempt), failure);
  assert.equal(calls, 3);
});

test("`retry()` does not try again what will not pass, nor wait longer than its limit", async () => {
  for (const error of [failure, new Transient(failure, 21)]) {
    let calls = 0;
    const attempt = (): Promise<never> => {
      calls++;
      return Promise.reject(error);
    };
    await assert.rejects(retry({ policy }, attempt), failure);
    assert.equal(calls, 1);
  }
});

test("`retry()` ends its wait with the signal's own reason", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const slow = { tries: 3, firstDelayMs: 60_000, maxDelayMs: 60_000 };
  const running = retry({ policy: slow, signal: controller.signal }, () => Promise.reject(new Transient(failure)));
  setTimeout(() => controller.abort(reason), 5);
  await assert.rejects(running, (error) => error === reason);
});
