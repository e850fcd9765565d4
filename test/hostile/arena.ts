/** A store into which hostile layers are pulled, a canary directory beside it, and the checks after each pull. */
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { ShaleError } from "../../src/index.ts";
import { bytesBlob, layerFromTar, type TestLayer } from "../../src/testing/index.ts";
import { startStore, type HarnessOptions, type StoreHarness } from "../support/store-harness.ts";
import type { HostileCase } from "./case.ts";
import { describeTree } from "./describe-tree.ts";

/** Names that the tests themselves create beside the store. */
const WATCHERS: ReadonlySet<string> = new Set(["references", "strace.log", "empty"]);

export class Arena {
  readonly harness: StoreHarness;
  /** A directory of the host beside the store. */
  readonly outside: string;
  #count = 0;

  constructor(harness: StoreHarness) {
    this.harness = harness;
    this.outside = join(realpathSync(dirname(harness.path)), "outside");
    mkdirSync(this.outside, { mode: 0o750 });
    writeFileSync(join(this.outside, "secret"), "host", { mode: 0o640 });
  }

  /** Pushes the layer to the registry as an image. */
  push(hostile: HostileCase): string {
    return this.harness.push(`hostile/${this.#count++}`, [layerOf(hostile, this.outside)]).reference;
  }

  /** Pulls the layer and checks everything that must hold after any outcome. */
  async pullHostile(hostile: HostileCase): Promise<void> {
    const { harness, outside } = this;
    await harness.store();
    const before = harness.list().filter((line) => /^(?:layers|trees|images)\//.test(line));
    const host = this.host();
    const reference = this.push(hostile);
    const { image, error, events } = await harness.watch(reference, { force: true });
    assert.equal(this.host(), host, "the host was touched");
    assert.deepEqual(harness.staged(), [], "staging is empty");
    if ("tree" in hostile.expect) {
      assert.ok(image, String(error));
      assert.deepEqual(portable(describeTree(image.layers[0]!), outside), hostile.expect.tree);
      return;
    }
    assert.ok(ShaleError.is(error), `${String(error)} ${image ? describeTree(image.layers[0]!).join("\n") : ""}`);
    assert.equal(error.code, hostile.expect.refuse, error.message);
    assert.equal(events.at(-1)?.kind, "failed");
    assert.doesNotMatch(error.message, /[^\x20-\x7e…é]/);
    assert.ok(error.message.length < 2000, "a message is bounded");
    const after = harness.list().filter((line) => /^(?:layers|trees|images)\//.test(line));
    assert.deepEqual(after, before, "nothing was published");
  }

  /** Checks that an ordinary image can still be pulled, and the next one too. */
  async proveUsable(): Promise<void> {
    const entries = [{ path: "honest", content: `${this.#count++}` }];
    const { reference } = await this.harness.pushEntries("honest/image", entries);
    const image = await this.harness.pull(reference, { pullPolicy: "always" });
    assert.equal(readFileSync(join(image.layers[0]!, "honest"), "utf8"), entries[0]!.content);
  }

  /** Lists what must not change: names, attributes, contents and link counts outside the store. */
  host(): string {
    const parent = dirname(this.outside);
    const names = [...readdirSync(parent), ...readdirSync(this.outside)].filter((name) => !WATCHERS.has(name));
    const facts = [this.outside, join(this.outside, "secret"), "/etc/passwd"].map((path) => {
      const { mode, uid, gid, nlink, size, mtimeMs, ino } = lstatSync(path);
      return { path, mode, uid, gid, nlink, size, mtimeMs, ino };
    });
    return JSON.stringify({ names, facts, content: readFileSync(join(this.outside, "secret"), "utf8") });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.harness[Symbol.asyncDispose]();
  }
}

export async function openArena(options: HarnessOptions = {}): Promise<Arena> {
  return new Arena(await startStore(options));
}

function layerOf({ tar, blob = gzipSync }: HostileCase, outside: string): TestLayer {
  const bytes = tar(outside);
  return { ...layerFromTar(bytes, { compression: "none" }), ...bytesBlob(blob(bytes), "application/vnd.oci.image.layer.v1.tar+gzip") };
}

/** Makes lines independent of the path of the canary: writes its path as OUTSIDE and omits the directories above it. */
function portable(lines: readonly string[], outside: string): string[] {
  const below = outside.slice(1);
  const ancestors = new Set(below.split("/").map((_, depth, names) => `${names.slice(0, depth).join("/")} dir 755`));
  return lines
    .filter((line) => !ancestors.has(line))
    .map((line) => line.replaceAll(/(?:\.\.\/){12}/g, "UP/").replaceAll(below, "OUTSIDE"))
    .sort();
}
