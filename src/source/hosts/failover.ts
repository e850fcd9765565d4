/** Which hosts of a registry are asked, and in which order. */
import type { Host } from "./host.ts";

/** A host that could not be reached is not asked again for this long, unless no other is left. */
const PAUSE_MS = 30_000;

export class Failover {
  /** When the pause of an origin ends, on the clock of performance.now(). */
  readonly #paused: Map<string, number> = new Map();

  pause(host: Host): void {
    this.#paused.set(host.base.origin, performance.now() + PAUSE_MS);
  }

  /** Hosts to avoid come last; paused ones are left out unless all are paused. */
  order(hosts: readonly Host[], avoid: ReadonlySet<string> | undefined): readonly Host[] {
    const now = performance.now();
    const active = hosts.filter(({ base }) => now >= (this.#paused.get(base.origin) ?? 0));
    const isAvoided = ({ base }: Host): number => Number(avoid?.has(base.host) ?? false);
    return (active.length === 0 ? hosts : active).toSorted((a, b) => isAvoided(a) - isAvoided(b));
  }
}
