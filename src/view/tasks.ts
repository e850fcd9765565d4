/** The workers' side of merged root file systems: one is written in steps that several workers share. */
import type { Sidecar } from "../../format/index.ts";
import type { Handled, Handlers, Task } from "../system/worker-pool.ts";
import { readSidecar } from "../tree/read-sidecar.ts";
import { RootfsPlan, type RootfsTask } from "./rootfs-plan.ts";
import { RootfsWriter, type RootfsCounts } from "./rootfs-writer.ts";

export interface RootfsStep {
  /** The same for all steps of one root file system, and for no other. */
  readonly id: string;
  readonly task: RootfsTask;
  readonly step: "directories" | "finish" | { readonly from: number; readonly to: number };
}

export interface ViewTaskMap {
  /** The counts of the files of a range; the number of names for the other steps. */
  "view/rootfs": Task<RootfsStep, RootfsCounts | number>;
}

export class ViewTasks {
  readonly handlers: Handlers<ViewTaskMap> = { "view/rootfs": (step: RootfsStep) => this.#rootfs(step) };
  readonly #name: string;
  /** The one at hand: its sidecars are read and merged once for all steps. */
  #current: { id: string; plan: RootfsPlan; writer: RootfsWriter } | undefined;

  /** `name` tells this worker's temporary files from another's. */
  constructor(name: string) {
    this.#name = name;
  }

  /** `directories` gives the number of names, a range the counts of its files. */
  async #rootfs({ id, task, step }: RootfsStep): Promise<Handled<RootfsCounts | number>> {
    if (this.#current?.id !== id) {
      const sidecars: Sidecar[] = [];
      for (const { sidecar } of task.layers) sidecars.push(await readSidecar(sidecar));
      const plan = new RootfsPlan(task, sidecars);
      this.#current = { id, plan, writer: new RootfsWriter(plan, this.#name) };
    }
    const { plan, writer } = this.#current;
    if (typeof step === "object") return { value: writer.makeFiles(step.from, step.to) };
    if (step === "directories") writer.makeDirectories();
    else {
      writer.finish();
      this.#current = undefined;
    }
    return { value: plan.length };
  }
}
