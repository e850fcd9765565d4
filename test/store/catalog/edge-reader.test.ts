import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { inodeIdAt, type InodeId } from "../../../src/store/ids.ts";
import { EdgeReader, type EdgeKeys } from "../../../src/store/catalog/edge-reader.ts";

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function inode(number: number): Buffer & InodeId {
  return inodeIdAt(digest(`inode ${number}`), 0);
}

function edge(number: number, layer: string): Buffer {
  return Buffer.concat([Buffer.from("e"), inode(number), digest(layer)]);
}

/** Keys in order, as LevelDB gives them, and a count of what was asked for. */
class Keys implements EdgeKeys {
  readonly #keys: readonly Buffer[];
  #at = 0;
  calls = 0;
  given = 0;

  constructor(keys: readonly Buffer[]) {
    this.#keys = keys.toSorted((a, b) => Buffer.compare(a, b));
  }

  seek(target: Buffer): void {
    this.#at = this.#keys.findIndex((key) => Buffer.compare(key, target) >= 0);
    if (this.#at < 0) this.#at = this.#keys.length;
  }

  nextv(size: number): Promise<Buffer[]> {
    const next = this.#keys.slice(this.#at, this.#at + size);
    this.#at += next.length;
    this.calls++;
    this.given += next.length;
    return Promise.resolve(next);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function inOrder(numbers: readonly number[]): number[] {
  return numbers.toSorted((a, b) => Buffer.compare(inode(a), inode(b)));
}

test("`EdgeReader.some()` finds every edge of an inode, in whatever order they are asked for", async () => {
  // 0 to 4 edges each; the last inodes are not there at all
  const all = range(200);
  const edgesOf = all.map((number) => range(number < 180 ? number % 5 : 0).map((layer) => edge(number, `layer ${layer}`)));
  for (const order of [inOrder(all), all, [...inOrder(all), ...all], inOrder(all).toReversed()]) {
    await using reader = new EdgeReader(new Keys(edgesOf.flat()));
    for (const number of order) {
      const seen: string[] = [];
      assert.equal(await reader.some(inode(number), (key) => (seen.push(key.toString("hex")), false)), false);
      const own = edgesOf[number]!.map((key) => key.toString("hex"));
      assert.deepEqual(seen, own.toSorted());
      assert.equal(await reader.some(inode(number), () => true), own.length > 0);
    }
  }
});

test("`EdgeReader.some()` reads what lies close together at once", async () => {
  const keys = new Keys(range(20_000).flatMap((number) => [edge(number, "one"), edge(number, "other")]));
  const reader = new EdgeReader(keys);
  for (const number of inOrder(range(20_000))) assert.equal(await reader.some(inode(number), () => false), false);
  assert.ok(keys.calls < 60, `${keys.calls} calls`);
  assert.ok(keys.given < 45_000, `${keys.given} keys`);
});

test("`EdgeReader.some()` of few inodes does not read the many between them", async () => {
  const keys = new Keys(range(20_000).map((number) => edge(number, "one")));
  const reader = new EdgeReader(keys);
  for (const number of inOrder(range(50))) assert.equal(await reader.some(inode(number), () => true), true);
  assert.ok(keys.given < 600, `${keys.given} keys`);
});
