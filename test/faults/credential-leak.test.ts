/**
 * Two origins, one of them hostile. Whatever the hostile one tries, it receives no secret of the other one, and no error, event, warning
 * or file of the store contains a secret.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { findCredentials } from "../../src/source/auth/find-credentials.ts";
import { startRegistry, type Fault, type RecordedRequest, type TestRegistry } from "../../src/testing/index.ts";
import { layer, startStore } from "../support/store-harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const SECRET = "topsecret-of-the-good-one";
const CODED: string = Buffer.from(`user:${SECRET}`).toString("base64");
const GOOD_ADDRESS = "127.0.0.1";
const BAD_ADDRESS = "127.0.0.2";

interface Trick {
  readonly name: string;
  /** What the good registry answers. The attacker may cause it by a manifest, a misconfiguration or a broken proxy. */
  readonly faults: (bad: TestRegistry) => readonly Fault[];
}

const everything = /./;
const TRICKS: readonly Trick[] = [
  { name: "redirects every request", faults: (bad) => [redirect(everything, bad)] },
  { name: "redirects the blobs", faults: (bad) => [redirect(/blobs/, bad)] },
  { name: "redirects the token request", faults: (bad) => [redirect(/\/token/, bad)] },
  {
    name: "names it as its token server",
    faults: (bad) => [challenge(`Bearer realm="${bad.origin}/token",service="registry",scope="repository:team/app:pull"`)],
  },
  {
    name: "hides it behind its own name",
    faults: (bad) => [challenge(`Bearer realm="http://${GOOD_ADDRESS}@${bad.host}/token",service="registry"`)],
  },
  {
    name: "names it in a second challenge",
    faults: (bad) => [challenge(`Basic realm="x", Bearer realm="${bad.origin}/token"`)],
  },
  { name: "names it with our names in the URL", faults: (bad) => [redirect(/blobs/, bad, `user:${SECRET}@`)] },
];

function redirect(match: RegExp, bad: TestRegistry, userinfo = ""): Fault {
  const location = ({ path }: RecordedRequest): string => `http://${userinfo}${bad.host}${path}`;
  return { match, times: 99, action: { kind: "redirect", location } };
}

function challenge(text: string): Fault {
  return { match: /\/v2\//, times: 99, action: { kind: "respond", status: 401, headers: { "www-authenticate": text } } };
}

for (const { name, faults } of TRICKS) {
  for (const kind of ["basic", "token"] as const) {
    test(`A registry with ${kind} authentication that ${name} leaks no secret`, async () => {
      await using home = await temporaryDirectory();
      await using good = await startRegistry({ address: GOOD_ADDRESS, auth: { kind, username: "user", password: SECRET } });
      await using bad = await startRegistry({ address: BAD_ADDRESS, auth: { kind: "basic", username: "user", password: SECRET } });
      writeFileSync(join(home.path, "auth.json"), JSON.stringify({ auths: { [good.host]: { auth: CODED } } }));
      const credentials = findCredentials({ REGISTRY_AUTH_FILE: join(home.path, "auth.json") });
      await using harness = await startStore({ client: { credentials } });
      const { image } = harness.push("team/app", [await layer([{ path: "f", content: "x" }])]);
      const reference = good.push("team/app", "latest", image);
      bad.push("team/app", "latest", image);
      good.misbehave(...faults(bad));
      bad.misbehave(challenge(`Bearer realm="${bad.origin}/token"`), {
        match: /token/,
        times: 99,
        action: { kind: "respond", status: 200, body: '{"token":"bad"}' },
      });
      const { error, events } = await harness.watch(reference);
      // Basic authentication uses no token server, so this attack has no effect
      assert.equal(error === undefined, kind === "basic" && name === "redirects the token request");
      const seen = JSON.stringify(bad.requests);
      for (const secret of [SECRET, CODED]) {
        assert.ok(!seen.includes(secret), "the hostile origin saw it");
        assert.ok(!inspect(error, { depth: 20 }).includes(secret), "it is in the error");
        assert.ok(!JSON.stringify([events, harness.warnings]).includes(secret), "it is in an event or warning");
      }
      const tokens = good.requests.flatMap(({ headers }) => /^Bearer (.+)$/.exec(String(headers["authorization"]))?.[1] ?? []);
      for (const token of tokens) assert.ok(token === "bad" || !seen.includes(token), "the hostile origin saw a token");
      assert.ok(!contains(harness.path, SECRET) && !contains(harness.path, CODED), "it is in the store");
    });
  }
}

function contains(directory: string, text: string): boolean {
  try {
    execFileSync("grep", ["-rqF", text, directory]);
    return true;
  } catch {
    // grep found nothing
    return false;
  }
}
