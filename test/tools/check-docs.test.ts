import assert from "node:assert/strict";
import { test } from "node:test";
import { checkPages } from "../../tools/check-docs.ts";
import { adaptBlock, extractBlocks, shellCommands } from "../../tools/docs-blocks.ts";

const FENCE = "```";

test("extractBlocks() has every fenced block with its language and line, closed or not", () => {
  const page = `# Page\n\n${FENCE}ts\na();\n\nb();\n${FENCE}\n\ntext\n${FENCE}\nplain\n${FENCE}\n${FENCE}sh\nshale`;
  assert.deepEqual(extractBlocks(page), [
    { language: "ts", line: 3, code: "a();\n\nb();" },
    { language: "", line: 10, code: "plain" },
    { language: "sh", line: 13, code: "shale" },
  ]);
});

test("adaptBlock() puts stores and registries in the place of the names in the pages", () => {
  const surroundings = { store: "/tmp/s", registry: "127.0.0.1:1", privateRegistry: "127.0.0.1:2" };
  const adapt = (code: string): string => adaptBlock(code, surroundings);
  assert.equal(adapt('openStore("/var/lib/shale")'), 'openStore("/tmp/s")');
  assert.equal(adapt('"docker.io/library/alpine" "docker.io"'), '"127.0.0.1:1/library/alpine" "docker.io"');
  assert.equal(adapt("private.example.com/a registry.example.com/b"), "127.0.0.1:2/a 127.0.0.1:1/b");
  assert.equal(adapt("new Registry({ store })"), "new Registry({ plainHttp: true, store })");
  assert.equal(
    adapt("shale pull docker.io/a\nshale pull --plain-http b"),
    "shale pull --plain-http 127.0.0.1:1/a\nshale pull --plain-http b",
  );
  assert.equal(adapt("new Registry({ store, plainHttp: [] })"), "new Registry({ store, plainHttp: [] })");
});

test("shellCommands() joins continued lines and leaves out comments", () => {
  assert.deepEqual(shellCommands("# one\nshale pull \\\n  x\n\nnpm test\n"), ["shale pull    x", "npm test"]);
});

test("checkPages() runs what it finds, in order and with one store a page, and tells what fails where", async () => {
  const open = 'import { openStore } from "shale";\nawait using store = await openStore("/var/lib/shale");\n';
  const block = (code: string): string => `${FENCE}ts\n${code}\n${FENCE}\n`;
  const pages = new Map([
    ["good.md", block(open) + block(`${open}if (store.path === "") throw new Error();`)],
    [
      "bad.md",
      `text\n${block('throw new Error("no");')}${FENCE}js\n${FENCE}\n${FENCE}sh\nshale --version\nnpm run check\nshale pull UPPER\nrm x\n${FENCE}\n`,
    ],
  ]);
  const findings = await checkPages(pages);
  assert.deepEqual(
    findings.map((finding) => finding.split(": ")[0]),
    ["bad.md:2", "bad.md:5", "bad.md:7"],
  );
});

test("checkPages() compiles strictly", async () => {
  const findings = await checkPages(new Map([["wrong.md", `${FENCE}ts\nconst text: string = 1;\n${FENCE}\n`]]));
  assert.equal(findings.length, 1);
});
