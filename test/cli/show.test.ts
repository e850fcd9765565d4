import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { loadCommands } from "../../src/cli/commands.ts";
import { nameOptions, showCount, showDuration, showJson, showMessage, showNumber, showSize } from "../../src/cli/show.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

test("showSize() keeps three digits and never writes 1000 of a unit", () => {
  const shown = [0, 999, 1000, 9994, 9995, 99_949, 99_950, 999_499, 999_500, 63_380_080, 1.5e12, 4e15].map(showSize);
  const expected = [
    "0 B",
    "999 B",
    "1.00 kB",
    "9.99 kB",
    "10.0 kB",
    "99.9 kB",
    "100 kB",
    "999 kB",
    "1.00 MB",
    "63.4 MB",
    "1.50 TB",
    "4000 TB",
  ];
  assert.deepEqual(shown, expected);
});

test("showSize() fits seven characters below a petabyte", () => {
  fc.assert(fc.property(fc.double({ min: 0, max: 999e12, noNaN: true }), (bytes) => showSize(bytes).length <= 7));
});

test("nameOptions() replaces an option of the library by its flag", () => {
  const said = "pull with `force`, `allowForeignLayers` and `hostDirectories`, or raise `limits.ratio`: `limits` has no `x";
  assert.equal(nameOptions(said), "pull with --force, --allow-foreign-layers and --hosts-dir, or raise --limit ratio: --limit has no `x");
});

test("nameOptions() gives an existing flag for every option in the messages of the library", async () => {
  const flags = new Set((await loadCommands()).flatMap(({ options }) => Object.keys(options).map((name) => `--${name}`)));
  const named = new Set<string>();
  for (const file of globSync("src/**/*.ts", { cwd: ROOT, exclude: ["src/cli/**"] })) {
    const strings = readFileSync(join(ROOT, file), "utf8").matchAll(/\\`[a-z][\w.$}{]*\\`|(?<=")[^"\n]*`[a-z]\w*`[^"\n]*(?=")/gi);
    for (const [text] of strings) for (const [option] of text.replaceAll("\\", "").matchAll(/`[a-z]\w*/g)) named.add(`${option}\``);
  }
  assert.ok(named.has("`force`") && named.has("`limits`") && named.has("`ca`"));
  for (const option of named) assert.ok(flags.has(nameOptions(option)), `${option} has no flag`);
});

test("showDuration() goes from hundredths to minutes", () => {
  assert.deepEqual([4, 640, 9995, 59_940, 59_950, 245_000].map(showDuration), [
    "0.00 s",
    "0.64 s",
    "10.0 s",
    "59.9 s",
    "1 min 0 s",
    "4 min 5 s",
  ]);
});

test("showCount() uses singular and plural", () => {
  assert.deepEqual(
    [0, 12, 999, 1000, 123_456, 1_234_567].map((count) => showNumber(count)),
    ["0", "12", "999", "1,000", "123,456", "1,234,567"],
  );
  assert.deepEqual([showCount(0, "layer"), showCount(1, "layer"), showCount(8812, "layer")], ["0 layers", "1 layer", "8,812 layers"]);
  assert.deepEqual([showCount(1, "entry"), showCount(2, "entry")], ["1 entry", "2 entries"]);
});

test("showMessage() escapes control and format characters, and keeps backslashes", () => {
  assert.equal(showMessage("a\\x1b\n\u001b\u009b\u202e"), "a\\x1b\\x0a\\x1b\\x9b\\u{202e}");
});

test("showJson() returns JSON of the same value without control and format characters", () => {
  const property = fc.property(fc.jsonValue(), (value) => {
    const text = showJson(value);
    assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
    assert.doesNotMatch(text, /[\p{C}\p{Zl}\p{Zp}]/u);
  });
  fc.assert(property, { examples: [[{ a: "\u001b\u009b\u2028\u202e\ud800\u{e0001}" }]] });
});
