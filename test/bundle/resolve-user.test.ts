import assert from "node:assert/strict";
import { test } from "node:test";
import { resolveUser } from "../../src/bundle/resolve-user.ts";
import { ShaleError } from "../../src/errors.ts";
import { finishes } from "../support/finishes.ts";

const PASSWD = `root:x:0:0:root:/root:/bin/sh
# comment:x:7:7::/:
broken
daemon:x:1:1:daemon:/usr/sbin:
app:x:1000:1001:App,,,:/home/app:/bin/sh
bad:x:-5:0::/:
huge:x:4294967296:0::/:
nohome:x:1002:1002
relative:x:1003:1003::home:
app:x:9999:9999::/second:
`;
const GROUP = `root:x:0:
audio:x:29:app,other
video:x:44:other, app
app:x:1001:
staff:x:50:app
again:x:50:app
wheel:x:10:root,app
`;
const FILES = { passwd: PASSWD, group: GROUP };

const FOUND: readonly (readonly [string, uid: number, gid: number, gids: readonly number[], home: string | undefined])[] = [
  ["", 0, 0, [10], "/root"],
  ["root", 0, 0, [10], "/root"],
  ["app", 1000, 1001, [29, 50, 10], "/home/app"],
  ["1000", 1000, 1001, [29, 50, 10], "/home/app"],
  ["app:audio", 1000, 29, [], "/home/app"],
  ["app:4242", 1000, 4242, [], "/home/app"],
  ["1000:0", 1000, 0, [], "/home/app"],
  ["4711", 4711, 0, [], undefined],
  ["4711:staff", 4711, 50, [], undefined],
  ["4294967294:4294967294", 4294967294, 4294967294, [], undefined],
  ["nohome", 1002, 1002, [], undefined],
  ["relative", 1003, 1003, [], undefined],
];

for (const [text, uid, gid, additionalGids, home] of FOUND) {
  test(`\`resolveUser()\` resolves ${JSON.stringify(text)} to ${uid}:${gid}`, () => {
    assert.deepEqual(resolveUser(text, FILES), { uid, gid, additionalGids, home });
  });
}

test("`resolveUser()` needs no files for numbers", () => {
  const none = { passwd: undefined, group: undefined };
  assert.deepEqual(resolveUser("", none), { uid: 0, gid: 0, additionalGids: [], home: undefined });
  assert.deepEqual(resolveUser("5:6", none), { uid: 5, gid: 6, additionalGids: [], home: undefined });
  assert.throws(() => resolveUser("app", none), { code: "USER_NOT_FOUND" });
});

for (const text of ["nobody", "broken", "bad", "huge", "app:nogroup", "4294967295", "99999999999", "0x10", "-1", "# comment", "toString"]) {
  test(`\`resolveUser()\` throws USER_NOT_FOUND for ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => resolveUser(text, FILES),
      (error) => ShaleError.is(error, "USER_NOT_FOUND"),
    );
  });
}

for (const text of ["app\nroot", "root\0", ":", "app:", ":audio", "a:b:c", "\u001b[2J", "x".repeat(257), `x:${"y".repeat(300)}`]) {
  test(`\`resolveUser()\` refuses ${JSON.stringify(text.slice(0, 20))}`, () => {
    assert.throws(
      () => resolveUser(text, FILES),
      (error) => ShaleError.is(error, "CONFIG_INVALID"),
    );
  });
}

test("`resolveUser()` reads a passwd of 4 MiB in linear time", () => {
  const long = `${"x:x:5:5::/:\n".repeat(350_000)}app:x:77:78::/:\n`;
  finishes(() => assert.equal(resolveUser("app", { passwd: long, group: long }).uid, 77));
});
