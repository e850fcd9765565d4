import assert from "node:assert/strict";
import { test } from "node:test";
import { isPrivateAddress } from "../../../src/source/http/private-address.ts";

test("`isPrivateAddress()` recognizes private addresses, IPv4 in IPv6 included", () => {
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
