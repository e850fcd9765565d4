/** Checks what must hold for a store after any fault, without manual repair. */
import type { Finding, Profile } from "../../src/index.ts";
import { Actor, type ActorOptions } from "./actor.ts";
import type { World } from "./world.ts";

export interface CheckOptions extends ActorOptions {
  /** Run fsck before anything else uses the store: after a kill it may report only waste. */
  readonly fsckFirst: boolean;
  /** The fault occurred before `keep` was in the store. */
  readonly empty?: boolean;
  /** The store was damaged on purpose: repair it before it is used. */
  readonly repairFirst?: boolean;
  /** `target` also has trees in these profiles: they are requested before fsck runs. */
  readonly profiles?: readonly Profile[];
  /** Require at the end that fsck can remove every leftover. Default true. */
  readonly repair?: boolean;
}

/** Two processes that check stores one after the other; no faults are injected into them. */
export class Checker implements AsyncDisposable {
  readonly #world: World;
  readonly #options: ActorOptions;
  #first: Actor | undefined;
  #second: Actor | undefined;

  constructor(world: World, options: ActorOptions = {}) {
    this.#world = world;
    this.#options = options;
  }

  /** Returns one line per problem. Pulls beside a removal and a gc of another image; at the end `target` and `keep` must exist. */
  async check(store: string, options: CheckOptions): Promise<string[]> {
    const { keep, target, other } = this.#world.images;
    const first = (this.#first ??= await Actor.start(this.#options));
    const second = (this.#second ??= await Actor.start(this.#options));
    const problems: string[] = [];
    if (options.repairFirst) await first.get({ kind: "fsck", store, repair: true });
    else if (options.fsckFirst) problems.push(...(await this.#fsck(first, store, isWaste)));
    const [pulled, beside] = await Promise.all([
      first.tell({ kind: "pull", store, reference: target.reference }),
      this.#comeAndGo(second, store, other.reference),
    ]);
    problems.push(...beside);
    if (pulled?.outcome) problems.push(...(await this.#world.compare("target", pulled.outcome.layers!)));
    else problems.push(`the next pull failed: ${pulled?.failure?.text ?? "it died"}`);
    for (const profile of options.profiles ?? []) problems.push(...(await this.#otherProfile(first, store, profile)));
    const kept = await first.tell({
      kind: "pull",
      store,
      reference: keep.reference,
      options: options.empty ? {} : { pullPolicy: "never" },
    });
    if (kept?.outcome) problems.push(...(await this.#world.compare("keep", kept.outcome.layers!)));
    else problems.push(`the earlier image is missing: ${kept?.failure?.text ?? "it died"}`);
    const diffIds = [...keep.layers, ...target.layers].map(({ diffId }) => diffId);
    const exported = await first.tell({ kind: "export", store, diffIds });
    if (exported?.failure) problems.push(exported.failure.text);
    problems.push(...(await this.#fsck(first, store, isWaste)));
    if (options.repair !== false) problems.push(...(await this.#repair(first, store)));
    await Promise.all([first.get({ kind: "close", store }), second.get({ kind: "close", store })]);
    return problems;
  }

  /** Requests trees of other profiles, which must not fetch anything. */
  async #otherProfile(actor: Actor, store: string, profile: Profile): Promise<string[]> {
    const { reference } = this.#world.images.target;
    const answer = await actor.tell({ kind: "pull", store, reference, options: { profile, pullPolicy: "never" } });
    if (answer?.outcome) return this.#world.compare("target", answer.outcome.layers!, profile);
    return [`trees of ${profile} failed: ${answer?.failure?.text ?? "it died"}`];
  }

  /** Requires that a repair leaves no findings. */
  async #repair(first: Actor, store: string): Promise<string[]> {
    const repaired = await first.get({ kind: "fsck", store, repair: true });
    const left = repaired.findings!.filter(({ state }) => state === "left").map((one) => `not repaired: ${JSON.stringify(one)}`);
    const clean = await first.get({ kind: "fsck", store });
    return [...left, ...clean.findings!.map((one) => `after the repair: ${JSON.stringify(one)}`)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#first?.[Symbol.asyncDispose]();
    await this.#second?.[Symbol.asyncDispose]();
  }

  async #comeAndGo(actor: Actor, store: string, reference: string): Promise<string[]> {
    const orders = [{ kind: "pull", reference }, { kind: "remove", references: [reference] }, { kind: "gc" }, { kind: "gc" }] as const;
    for (const order of orders) {
      const answer = await actor.tell({ store, ...order });
      if (!answer?.outcome) return [`${order.kind} of another image failed: ${answer?.failure?.text ?? "it died"}`];
    }
    return [];
  }

  async #fsck(actor: Actor, store: string, isFine: (finding: Finding) => boolean): Promise<string[]> {
    const answer = await actor.tell({ kind: "fsck", store });
    if (!answer?.outcome) return [`fsck failed: ${answer?.failure?.text ?? "it died"}`];
    return answer.outcome.findings!.filter((finding) => !isFine(finding)).map((finding) => `fsck: ${JSON.stringify(finding)}`);
  }
}

/** Accepts findings that a killed process may cause: they cost space, or time once. */
function isWaste({ kind, severity }: Finding): boolean {
  return severity === "note" || kind === "catalog-missing" || kind === "catalog-damaged";
}
