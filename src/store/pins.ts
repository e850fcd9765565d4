/** References whose images are never evicted: one small durable file each. A pin applies to the image that the reference names now. */
import { mkdirSync, rmSync } from "node:fs";
import { isErrno, type Warn } from "../errors.ts";
import { namesIn } from "../system/names-in.ts";
import { readChecked, writeChecked } from "./checked-file.ts";
import { referenceKey } from "./images.ts";
import type { StoreLayout } from "./layout.ts";

export interface PinRecord {
  /** Canonical text. */
  readonly reference: string;
  /** As os/architecture[/variant]. */
  readonly platform: string;
}

export class Pins {
  readonly #layout: StoreLayout;
  readonly #warn: Warn;

  /** Damaged files are reported to `warn`, and count as missing. */
  constructor(layout: StoreLayout, warn: Warn) {
    this.#layout = layout;
    this.#warn = warn;
  }

  /** Writes a pin durably. Idempotent. */
  write({ reference, platform }: PinRecord): void {
    mkdirSync(this.#layout.pins, { recursive: true, mode: 0o700 });
    writeChecked(this.#file({ reference, platform }), { reference, platform }, this.#layout.staging);
  }

  /** Returns false if there is no such pin. */
  remove(pin: PinRecord): boolean {
    try {
      rmSync(this.#file(pin));
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  has(pin: PinRecord): boolean {
    return readChecked(this.#file(pin), this.#warn) !== undefined;
  }

  /** Returns every intact pin, unsorted. */
  list(): PinRecord[] {
    const pins = namesIn(this.#layout.pins).map((name) => readChecked(this.#layout.pin(name), this.#warn) as PinRecord | undefined);
    return pins.filter((pin) => typeof pin?.reference === "string" && typeof pin.platform === "string") as PinRecord[];
  }

  #file({ reference, platform }: PinRecord): string {
    return this.#layout.pin(referenceKey(reference, platform));
  }
}
