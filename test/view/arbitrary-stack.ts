/** Random images: layers whose entries meet at few names. */
import fc from "fast-check";
import type { TestEntry } from "../../src/testing/index.ts";
import { isWellFormed } from "./layer-stack.ts";

const names = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/f"];
const markers = [".wh.a", ".wh.d", "d/.wh.a", "d/.wh.e", "d/.wh..wh..opq", "d/e/.wh..wh..opq", ".wh..wh..opq"];
const attributes = { mode: fc.constantFrom(0o600, 0o755, 0o4711), uid: fc.constantFrom(0, 9), mtime: fc.constantFrom(0, 5) };
const entry: fc.Arbitrary<TestEntry> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ path: fc.constantFrom(...names), content: fc.constantFrom("", "x", "y"), ...attributes }) },
  { weight: 4, arbitrary: fc.record({ path: fc.constantFrom("d", "d/e", "b"), type: fc.constant("directory" as const), ...attributes }) },
  {
    weight: 1,
    arbitrary: fc.record({
      path: fc.constantFrom("s", "d/s"),
      type: fc.constant("symlink" as const),
      target: fc.constantFrom("a", "../b"),
      uid: attributes.uid,
      mtime: attributes.mtime,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      path: fc.constantFrom("a", "l", "d/l", "d/e/l"),
      type: fc.constant("hardlink" as const),
      target: fc.constantFrom("a", "b", "d/a", "d/b", "s"),
      ...attributes,
    }),
  },
  { weight: 2, arbitrary: fc.record({ path: fc.constantFrom(...markers), content: fc.constant("") }) },
);

/** Layers bottom to top, each well-formed. */
export const arbitraryStack: fc.Arbitrary<TestEntry[][]> = fc.array(
  fc.array(entry, { maxLength: 8 }).filter((entries) => isWellFormed(entries)),
  { minLength: 1, maxLength: 5 },
);
