import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Agent } from "undici";
import { loadAgent } from "../../../src/source/http/undici-agent.ts";

test("`loadAgent()` gives the very class of undici's index, from a file of its own", () => {
  // once it has moved, every pull loads all of undici, and nothing else would tell
  assert.ok(createRequire(import.meta.url).resolve("undici/lib/dispatcher/agent.js"));
  assert.equal(loadAgent(), Agent);
});

test("`loadAgent()` takes the index where the file is not found", () => {
  assert.equal(loadAgent("undici/lib/moved.js"), Agent);
});
