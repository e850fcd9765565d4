import assert from "node:assert/strict";
import { test } from "node:test";
import { isSameSite } from "../../../src/source/auth/credentials.ts";

test("`isSameSite()` allows only token servers on the registry's own site", () => {
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
