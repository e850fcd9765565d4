import assert from "node:assert/strict";
import { test } from "node:test";
import { drawGraph } from "../../tools/import-graph.ts";

test("No files import each other in a circle, and the graph in docs/architecture.md is that of the sources: see `npm run graph`", async () => {
  const { before, after } = await drawGraph();
  assert.match(after, /\["ingest"\]/);
  assert.equal(before, after);
});
