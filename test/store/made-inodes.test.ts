import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { inodeIdAt } from "../../src/store/ids.ts";
import { MadeInodes } from "../../src/store/made-inodes.ts";

test("`MadeInodes` knows in one thread what another has added, and nothing else", () => {
  const one = new MadeInodes();
  const other = new MadeInodes(one.memory);
  const ids = Array.from({ length: 50_000 }, () => inodeIdAt(randomBytes(20), 0));
  for (const [index, id] of ids.entries()) (index % 2 === 0 ? one : other).add(id);
  assert.ok(ids.every((id) => one.has(id) && other.has(id)));
  assert.ok(ids.every((id) => !one.has(inodeIdAt(id.toReversed(), 0))));
  other.clear();
  assert.ok(!ids.some((id) => one.has(id)));
});

test("`MadeInodes` tells ids apart that begin alike, and those of zeros", () => {
  const made = new MadeInodes();
  const ids = Array.from({ length: 60 }, (_, index) => inodeIdAt(Buffer.alloc(20).fill(index, 4, 8), 0));
  for (const id of ids.slice(0, 50)) made.add(id);
  assert.deepEqual(
    ids.map((id) => made.has(id)),
    ids.map((_, index) => index < 50),
  );
});

test("`MadeInodes` forgets rather than grow", () => {
  const made = new MadeInodes();
  const ids = Array.from({ length: 300_000 }, () => inodeIdAt(randomBytes(20), 0));
  for (const id of ids) made.add(id);
  const known = ids.filter((id) => made.has(id)).length;
  assert.ok(known > 190_000 && known < 300_000, String(known));
});
