/** Pulls the hostile layers: each has the expected outcome, the host stays unchanged, and the store still works. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openArena, type Arena } from "./arena.ts";
import { CORPUS } from "./corpus.ts";

/** containerd, moby, umoci, node-tar, tar-fs, tar-rs, Go's archive/tar and compress/gzip. */
const PUBLISHED: readonly string[] = [
  "CVE-2021-32760",
  "CVE-2014-6407",
  "CVE-2014-9356",
  "CVE-2017-14992",
  "CVE-2021-29136",
  "CVE-2015-8860",
  "CVE-2018-20834",
  "CVE-2021-32803",
  "CVE-2021-32804",
  "CVE-2021-37701",
  "CVE-2021-37712",
  "CVE-2024-28863",
  "CVE-2026-23745",
  "CVE-2026-23950",
  "CVE-2026-24842",
  "CVE-2026-26960",
  "CVE-2018-20835",
  "CVE-2024-12905",
  "CVE-2025-48387",
  "CVE-2025-59343",
  "CVE-2026-33056",
  "CVE-2022-2879",
  "CVE-2022-30631",
  "CVE-2025-58183",
  "CVE-2026-32288",
];

function known(cve: readonly string[] = []): string {
  return cve.length === 0 ? "" : ` (${cve.join(", ")})`;
}

describe("hostile layers", () => {
  let arena: Arena;
  before(async () => {
    arena = await openArena();
  });
  after(async () => arena[Symbol.asyncDispose]());

  for (const hostile of CORPUS) {
    const outcome = "tree" in hostile.expect ? "makes a tree" : `fails with ${hostile.expect.refuse}`;
    test(`\`pull()\` ${outcome}: ${JSON.stringify(hostile.name)}${known(hostile.cve)}`, async () => {
      await arena.pullHostile(hostile);
      if ("refuse" in hostile.expect) await arena.proveUsable();
    });
  }

  test("every published vulnerability of an extractor that a layer can trigger has a case", () => {
    const covered = new Set(CORPUS.flatMap(({ cve = [] }) => cve));
    assert.deepEqual(
      PUBLISHED.filter((id) => !covered.has(id)),
      [],
    );
  });

  test("every case has a unique name", () => {
    assert.equal(new Set(CORPUS.map(({ name }) => name)).size, CORPUS.length);
  });
});
