import assert from "node:assert/strict";
import { test } from "node:test";
import { compareSnapshot, exportedNames } from "../../tools/check-api.ts";

test("exportedNames() reads lists, renames and declarations, and tells types from values", () => {
  const declarations = `
export { a, b as c, type D } from "./x.js";
export type { E, F as G } from "./y.js";
export {
  h,
} from "./z.js";
export declare function i(): void;
export declare const j: number;
export declare abstract class K {}
export interface L {}
export type M = string;
declare const hidden: number;
`;
  const expected = ["type D", "type E", "type G", "type L", "type M", "value K", "value a", "value c", "value h", "value i", "value j"];
  assert.deepEqual(exportedNames(declarations), expected);
});

test("compareSnapshot() finds what came and what went", () => {
  assert.equal(compareSnapshot([". value a", ". value b"], [". value b", ". type c"]).length, 2);
  assert.deepEqual(compareSnapshot([". value a"], [". value a"]), []);
});
