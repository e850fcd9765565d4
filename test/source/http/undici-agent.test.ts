import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Agent } from "undici";
import { loadAgent } from "../../../src/source/http/undici-agent.ts";

test("`loadAgent()` returns the class of undici's index, from its own file", () => {
  // if this file moves, every pull loads all of undici; no other test notices
  assert.ok(createRequire(import.meta.url).resolve("undici/lib/dispatcher/agent.js"));
  assert.equal(loadAgent(), Agent);
});

test("`loadAgent()` falls back to the index if the file is missing", () => {
  assert.equal(loadAgent("undici/lib/moved.js"), Agent);
});
