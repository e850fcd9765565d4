import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkVectors, makeVectors } from "../../tools/check-vectors.ts";

describe("check-vectors", () => {
  it("`checkVectors()` has nothing to say of the folder as it is generated", async () => {
    const made = await makeVectors();
    assert.ok([...made.keys()].filter((name) => name.startsWith("refused-")).length > 60);
    assert.deepEqual(await checkVectors(made, made), []);
  });

  it("`checkVectors()` names files that are missing, changed, not generated, or not refused", async () => {
    const made = await makeVectors();
    const present = new Map(made);
    present.delete("valid-empty.sidecar");
    present.set("valid-small.sidecar", Buffer.from("x"));
    present.set("valid-other.sidecar", Buffer.from("x"));
    const accepted = new Map([...made, ["refused-nothing.sidecar", made.get("valid-small.sidecar")!]]);
    const findings = [...(await checkVectors(made, present)), ...(await checkVectors(accepted, accepted))];
    const names = findings.map((finding) => finding.split(":")[0] ?? "");
    assert.deepEqual(
      names.sort((a, b) => (a < b ? -1 : 1)),
      [
        "format/vectors/refused-nothing.sidecar",
        "format/vectors/valid-empty.sidecar",
        "format/vectors/valid-other.sidecar",
        "format/vectors/valid-small.sidecar",
      ],
    );
  });
});
