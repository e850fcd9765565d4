/** References whose image is never removed to make room: one small durable file each. A pin follows its reference, wherever that leads. */
import { mkdirSync, rmSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { namesIn } from "../system/names-in.ts";
import { readChecked, writeChecked } from "./checked-file.ts";
import { referenceKey, type Warn } from "./images.ts";
import type { StoreLayout } from "./layout.ts";

export interface PinRecord {
  /** Canonical text. */
  readonly reference: string;
  /** As os/architecture[/variant]. */
  readonly platform: string;
}

export class Pins {
  readonly #layout: StoreLayout;

  constructor(layout: StoreLayout) {
    this.#layout = layout;
  }

  /** Durably; idempotent. */
  write({ reference, platform }: PinRecord): void {
    mkdirSync(this.#layout.pins, { recursive: true, mode: 0o700 });
    writeChecked(this.#file({ reference, platform }), { reference, platform }, this.#layout.staging);
  }

  /** False when there was no such pin. */
  remove(pin: PinRecord): boolean {
    try {
      rmSync(this.#file(pin));
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  has(pin: PinRecord, warn: Warn): boolean {
    return readChecked(this.#file(pin), warn) !== undefined;
  }

  /** Every intact pin, in no order. */
  list(warn: Warn): PinRecord[] {
    const pins = namesIn(this.#layout.pins).map((name) => readChecked(this.#layout.pin(name), warn) as PinRecord | undefined);
    return pins.filter((pin) => typeof pin?.reference === "string" && typeof pin.platform === "string") as PinRecord[];
  }

  #file({ reference, platform }: PinRecord): string {
    return this.#layout.pin(referenceKey(reference, platform));
  }
}
