/**
 * MessagePack as the format uses it: maps with text keys in a fixed order, whose values are integers from 0 to 2^53 - 1, ASCII texts and
 * bins, each in its shortest form (an integer above 2^32 - 1 as int 64). No floats, no extension types. Equal values give equal bytes. See README.md, "Conventions".
 */
import { createRequire } from "node:module";
import { types } from "node:util";
import type * as Msgpackr from "msgpackr";

type Kind = "uint" | "text" | "bin";
/** The keys of a map, in the order of the file. A key must not look like an array index. */
export type Schema = Readonly<Record<string, Kind>>;
export type MapOf<S extends Schema> = { readonly [K in keyof S]: S[K] extends "uint" ? number : S[K] extends "text" ? string : Uint8Array };

/** Makes the error that a reader throws; `why` completes the sentence "the value ...". */
export type Refuse = (why: string) => Error;

interface Codec {
  readonly packr: Msgpackr.Packr;
  readonly unpackr: Msgpackr.Unpackr;
}

const loaded: { codec?: Codec } = {};

/** Loads msgpackr at its first use: a cached pull needs none of it. */
function codec(): Codec {
  return (loaded.codec ??= load());
}

function load(): Codec {
  const msgpackr = createRequire(import.meta.url)("msgpackr") as typeof Msgpackr;
  return {
    packr: new msgpackr.Packr({ useRecords: false, variableMapSize: true }),
    unpackr: new msgpackr.Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" }),
  };
}

/** @throws RangeError for a value that the format cannot hold */
export function encodeMap<S extends Schema>(schema: S, value: MapOf<S>): Buffer {
  return codec().packr.pack(Object.fromEntries(Object.entries(schema).map(([key, kind]) => [key, packable(kind, value[key], key)])));
}

/** The start of a map that has `more` keys after these, which the caller appends. The map's size takes two bytes. */
export function encodeMapStart<S extends Schema>(schema: S, value: MapOf<S>, more: number): Buffer {
  const keys = Object.keys(schema).length;
  if (keys > 15) throw new RangeError("encode MessagePack: a start of more than 15 keys");
  const size = Buffer.from([0xde, 0, 0]);
  size.writeUInt16BE(keys + more, 1);
  // a map of up to 15 keys begins with one byte
  return Buffer.concat([size, encodeMap(schema, value).subarray(1)]);
}

/** Reads a map of exactly these keys. Bins are views. @throws what `refuse` makes, for any other bytes than encodeMap() writes */
export function decodeMap<S extends Schema>(schema: S, bytes: Uint8Array, refuse: Refuse): MapOf<S> {
  const value = unpack(bytes, refuse);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refuse("is not a map");
  const map = value as MapOf<S>;
  if (Object.keys(map).join() !== Object.keys(schema).join()) throw refuse("has other keys");
  for (const [key, kind] of Object.entries(schema)) if (!isOf(kind, map[key])) throw refuse(`has a ${key} that it cannot have`);
  requireSame(encodeMap(schema, map), bytes, refuse);
  return map;
}

class Refused extends Error {}

/** As decodeMap(). Returns undefined for any other bytes. */
export function tryDecodeMap<S extends Schema>(schema: S, bytes: Uint8Array): MapOf<S> | undefined {
  try {
    return decodeMap(schema, bytes, (why) => new Refused(why));
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}

/** @throws RangeError unless the value is an integer from 0 to 2^53 - 1 */
export function encodeUint(value: number): Buffer {
  return codec().packr.pack(packable("uint", value, "value"));
}

/** @throws what `refuse` makes, for any other bytes than encodeUint() writes */
export function decodeUint(bytes: Uint8Array, refuse: Refuse): number {
  const value = unpack(bytes, refuse);
  if (!isOf("uint", value)) throw refuse("is not an integer from 0 to 2^53 - 1");
  requireSame(encodeUint(value as number), bytes, refuse);
  return value as number;
}

function unpack(bytes: Uint8Array, refuse: Refuse): unknown {
  try {
    return codec().unpackr.unpack(bytes);
  } catch {
    // msgpackr throws errors of several kinds for bytes that it cannot read
    throw refuse("is not MessagePack");
  }
}

function requireSame(written: Buffer, bytes: Uint8Array, refuse: Refuse): void {
  if (!written.equals(bytes)) throw refuse("is not in its one spelling");
}

/** The value as msgpackr writes it in the shortest form: it writes numbers above 2^32 - 1 as floats, and bigints as int 64. */
function packable(kind: Kind, value: unknown, key: string): unknown {
  if (!isOf(kind, value)) throw new RangeError(`encode MessagePack: ${key} is not a ${kind}`);
  if (kind === "uint") return (value as number) > 0xffff_ffff ? BigInt(value as number) : value;
  if (kind === "bin") {
    const { buffer, byteOffset, byteLength } = value as Uint8Array;
    return Buffer.from(buffer, byteOffset, byteLength);
  }
  return value;
}

const ASCII: RegExp = /^[\x20-\x7e]*$/;

function isOf(kind: Kind, value: unknown): boolean {
  if (kind === "uint") return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);
  return kind === "text" ? typeof value === "string" && ASCII.test(value) : types.isUint8Array(value);
}
