/** References whose image is never removed to make room: one small durable file each. A pin follows its reference, wherever that leads. */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../errors.ts";
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
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
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
    const pins = this.#names().map((name) => readChecked(join(this.#directory, name), warn) as PinRecord | undefined);
    return pins.filter((pin) => typeof pin?.reference === "string" && typeof pin.platform === "string") as PinRecord[];
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return [];
      throw error;
    }
  }

  get #directory(): string {
    return join(this.#layout.images, "pins");
  }

  #file({ reference, platform }: PinRecord): string {
    return join(this.#directory, referenceKey(reference, platform));
  }
}
