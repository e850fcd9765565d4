/** From one host to the next: mirrors may fail, and the registry itself has the last word. */
import { ShaleError } from "../../errors.ts";
import type { Host } from "./host.ts";
import type { SourceOptions } from "../source.ts";

/** How long a host that could not be reached is left alone while there are others. */
const REST_MS = 30_000;

export class Failover {
  /** Origins, and until when they rest on the clock of performance.now(). */
  readonly #resting: Map<string, number> = new Map();

  /**
   * The first success of `attempt` over the hosts. What fails for a reason of the host's own is told and passed over; when all
   * failed, the registry's own failure is thrown.
   */
  async run<T>(
    hosts: readonly Host[],
    { onEvent, signal, avoid }: SourceOptions,
    attempt: (host: Host, others: boolean) => Promise<T>,
  ): Promise<T> {
    const order = this.#order(hosts, avoid);
    const failures: { host: Host; error: ShaleError }[] = [];
    for (const [index, host] of order.entries()) {
      try {
        return await attempt(host, order.length > 1);
      } catch (error) {
        signal?.throwIfAborted();
        if (!ShaleError.is(error)) throw error;
        failures.push({ host, error });
        if (error.code === "REGISTRY_UNREACHABLE") this.#resting.set(host.base.origin, performance.now() + REST_MS);
        if (index < order.length - 1) {
          onEvent?.({ kind: "retrying", host: host.base.host, code: error.code, message: error.message, delayMs: 0 });
        }
      }
    }
    const own = failures.find(({ host }) => !host.mirror) ?? failures.at(-1);
    throw own?.error ?? new TypeError("there is no host to ask");
  }

  /** What is avoided comes last; what rests is left out, unless nothing else is left. */
  #order(hosts: readonly Host[], avoid: ReadonlySet<string> | undefined): readonly Host[] {
    const now = performance.now();
    const awake = hosts.filter(({ base }) => now >= (this.#resting.get(base.origin) ?? 0));
    const isAvoided = ({ base }: Host): number => Number(avoid?.has(base.host) ?? false);
    return (awake.length === 0 ? hosts : awake).toSorted((a, b) => isAvoided(a) - isAvoided(b));
  }
}
