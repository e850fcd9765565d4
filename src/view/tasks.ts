/** Worker tasks that write a merged root file system, in steps that several workers share. */
import type { Sidecar } from "../../format/index.ts";
import type { Handled, Handlers, Task } from "../system/worker-pool.ts";
import { readSidecar } from "../tree/read-sidecar.ts";
import { RootfsPlan, type RootfsTask } from "./rootfs-plan.ts";
import { RootfsWriter, type RootfsCounts } from "./rootfs-writer.ts";

export interface RootfsStep {
  /** Identifies one root file system in all its steps. */
  readonly id: string;
  readonly task: RootfsTask;
  /** `directories` comes first, then the files, then `finish`. */
  readonly step: "directories" | "finish";
}

export interface RootfsFiles extends Omit<RootfsStep, "step"> {
  /** Names [from, to) of the plan. */
  readonly from: number;
  readonly to: number;
}

export interface ViewTaskMap {
  /** The number of names. */
  "view/rootfs": Task<RootfsStep, number>;
  "view/rootfs-files": Task<RootfsFiles, RootfsCounts>;
}

interface OpenRootfs {
  readonly id: string;
  readonly plan: RootfsPlan;
  readonly writer: RootfsWriter;
}

export class ViewTasks {
  readonly handlers: Handlers<ViewTaskMap> = {
    "view/rootfs": (step) => this.#rootfs(step),
    "view/rootfs-files": async ({ from, to, ...request }) => ({ value: (await this.#open(request)).writer.makeFiles(from, to) }),
  };
  readonly #name: string;
  /** The current root file system: its sidecars are read and merged once for all steps. */
  #current: OpenRootfs | undefined;

  /** `name` makes the temporary files of this worker unique. */
  constructor(name: string) {
    this.#name = name;
  }

  async #rootfs({ step, ...request }: RootfsStep): Promise<Handled<number>> {
    const { plan, writer } = await this.#open(request);
    if (step === "directories") writer.makeDirectories();
    else {
      writer.finish();
      this.#current = undefined;
    }
    return { value: plan.length };
  }

  async #open({ id, task }: Omit<RootfsStep, "step">): Promise<OpenRootfs> {
    if (this.#current?.id === id) return this.#current;
    const sidecars: Sidecar[] = [];
    for (const { sidecar } of task.layers) sidecars.push(await readSidecar(sidecar));
    const plan = new RootfsPlan(task, sidecars);
    return (this.#current = { id, plan, writer: new RootfsWriter(plan, this.#name) });
  }
}
