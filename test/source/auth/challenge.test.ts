import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseChallenges } from "../../../src/source/auth/challenge.ts";
import { finishes } from "../../support/finishes.ts";

type Plain = [string, Record<string, string>];

function plain(header: string | readonly string[] | undefined): Plain[] {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

const TABLE: readonly (readonly [string | readonly string[] | undefined, Plain[]])[] = [
  [undefined, []],
  ["", []],
  [" , ,", []],
  ["Basic", [["basic", {}]]],
  [
    'Bearer realm="https://a/t",service="s",scope="repository:x:pull"',
    [["bearer", { realm: "https://a/t", service: "s", scope: "repository:x:pull" }]],
  ],
  ["BEARER Realm = https", [["bearer", { realm: "https" }]]],
  ['Bearer realm="a,b=c \\"d\\\\", service=s', [["bearer", { realm: 'a,b=c "d\\', service: "s" }]]],
  [
    'Negotiate, Bearer realm="r", Basic realm="b"',
    [
      ["negotiate", {}],
      ["bearer", { realm: "r" }],
      ["basic", { realm: "b" }],
    ],
  ],
  [
    'Negotiate YWJj==, Basic realm="b"',
    [
      ["negotiate", {}],
      ["basic", { realm: "b" }],
    ],
  ],
  [
    ['Basic realm="b"', 'Bearer realm="r"'],
    [
      ["basic", { realm: "b" }],
      ["bearer", { realm: "r" }],
    ],
  ],
  ['Bearer realm="first", realm="second"', [["bearer", { realm: "first" }]]],
  ['Bearer realm="never ends', [["bearer", { realm: "never ends" }]]],
  ['realm="no scheme"', []],
  [
    'Bearer realm="r" junk here, Basic realm="b"',
    [
      ["bearer", { realm: "r" }],
      ["basic", { realm: "b" }],
    ],
  ],
  ['"", Basic realm="b"', [["basic", { realm: "b" }]]],
  ["Bearer __proto__=x", [["bearer", Object.fromEntries([["__proto__", "x"]])]]],
];

for (const [header, expected] of TABLE) {
  test(`\`parseChallenges()\` reads ${JSON.stringify(header)}`, () => {
    assert.deepEqual(plain(header), expected);
  });
}

test("`parseChallenges()` survives any text, in time linear in its length", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom("Bearer", " ", ",", "=", '"', "\\", "a", "é", "\u0000", "==", "Basic "), { maxLength: 60 }),
      (parts) => {
        parseChallenges(parts.join(""));
      },
    ),
  );
  for (const text of [
    '"'.repeat(4_000_000),
    "a=".repeat(2_000_000),
    "\\".repeat(4_000_000),
    `Bearer a="${"\\".repeat(4_000_000)}`,
    "x ".repeat(2_000_000),
    "=".repeat(4_000_000),
  ]) {
    finishes(() => void parseChallenges(text));
  }
});
