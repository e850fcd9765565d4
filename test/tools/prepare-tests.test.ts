import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { missingPrerequisites, withoutServices } from "../../tools/prepare-tests.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("missingPrerequisites() names what no folder of PATH has as an executable file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "shale-path-"));
  try {
    const missing = () => missingPrerequisites(folder).map(({ program }) => program);
    assert.ok(missing().includes("umoci"));
    await writeFile(join(folder, "umoci"), "");
    await chmod(join(folder, "umoci"), 0o644);
    assert.ok(missing().includes("umoci"));
    await chmod(join(folder, "umoci"), 0o755);
    assert.ok(!missing().includes("umoci"));
  } finally {
    await rm(folder, { recursive: true });
  }
});

const RULES = ["usr/sbin/policy-rc.d", "run/systemd/system-preset/00-shale-prepare-tests.preset"];

test("withoutServices() forbids services to start or to be enabled during the installation only, also if it throws", async () => {
  await using root = await temporaryDirectory();
  const [policy = "", preset = ""] = RULES.map((path) => join(root.path, path));
  const reason = new Error("the installation failed");
  assert.throws(
    () =>
      withoutServices(root.path, () => {
        assert.match(readFileSync(preset, "utf8"), /^disable \*$/m);
        // invoke-rc.d takes 101 as "this action is forbidden"
        assert.equal(spawnSync(policy, ["nginx", "start"]).status, 101);
        throw reason;
      }),
    reason,
  );
  assert.deepEqual(
    [policy, preset].filter((path) => existsSync(path)),
    [],
  );
  assert.equal(process.listenerCount("SIGINT"), 0);
});

test("withoutServices() keeps the machine's own policy-rc.d, and removes one that an earlier run left", async () => {
  await using root = await temporaryDirectory();
  const policy = join(root.path, RULES[0]!);
  mkdirSync(join(policy, ".."), { recursive: true });
  writeFileSync(policy, "#!/bin/sh\nexit 0\n");
  withoutServices(root.path, () => assert.equal(readFileSync(policy, "utf8"), "#!/bin/sh\nexit 0\n"));
  assert.equal(readFileSync(policy, "utf8"), "#!/bin/sh\nexit 0\n");
  let made = "";
  await rm(policy);
  withoutServices(root.path, () => (made = readFileSync(policy, "utf8")));
  writeFileSync(policy, made);
  withoutServices(root.path, () => {});
  assert.equal(existsSync(policy), false);
});
