/**
 * A process that works on one store, for tests that kill it or break its disk. It receives orders as messages and answers with the
 * outcome. See actor.ts.
 */
import { fsck, materializeRootfs, openStore, Registry, ShaleError, type Finding, type Store } from "../../src/index.ts";
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { inspect } from "node:util";
import type { Answer, Order, Outcome } from "./actor.ts";

let open: { readonly store: Store; readonly client: Registry } | undefined;

async function handles(path: string): Promise<{ readonly store: Store; readonly client: Registry }> {
  if (open) return open;
  const store = await openStore(path, { profile: "overlay" });
  const quiet = { plainHttp: true, credentials: "anonymous", hostDirectories: [], retry: { firstDelayMs: 5 } } as const;
  return (open = { store, client: new Registry({ store, ...quiet }) });
}

async function close(): Promise<void> {
  const closing = open;
  open = undefined;
  await closing?.client.close();
  await closing?.store.close();
}

/** Handlers of the orders. The results are JSON. */
async function obey(order: Order): Promise<Outcome> {
  if (order.kind === "warm") return warm(order.store, order.references);
  const { store, client } = await handles(order.store);
  switch (order.kind) {
    case "open":
      return {};
    case "close":
      await close();
      return {};
    case "pull": {
      await using image = await client.pull(order.reference, order.options);
      const { downloadedBytes, ingestedLayers } = image.stats;
      return { layers: image.layers, cached: image.cached, downloadedBytes, ingestedLayers };
    }
    case "materialize": {
      await using image = await client.pull(order.reference, { materialize: "lazy" });
      await image.materialize();
      return { layers: image.layers };
    }
    case "rootfs": {
      await using image = await client.pull(order.reference, { materialize: "lazy" });
      await rm(order.destination, { recursive: true, force: true });
      await materializeRootfs(image, order.destination, { mode: "link" });
      return {};
    }
    case "remove":
      for (const reference of order.references) await store.remove(reference);
      return {};
    case "gc": {
      const { layers, chunks } = await store.gc({ keepYoungerMs: 0 });
      return { removed: layers.length, chunks };
    }
    case "usage":
      await store.usage();
      return {};
    case "export":
      for (const diffId of order.diffIds) await exportWhole(store, diffId);
      return {};
    case "fsck":
      return { findings: await check(store, order.repair === true) };
  }
}

/** Loads every module that the orders need, by using a scratch store. */
async function warm(scratch: string, references: readonly string[]): Promise<Outcome> {
  for (const reference of references) await obey({ kind: "pull", store: scratch, reference });
  await obey({ kind: "fsck", store: scratch });
  await obey({ kind: "remove", store: scratch, references });
  await obey({ kind: "gc", store: scratch });
  await close();
  return {};
}

async function exportWhole(store: Store, diffId: string): Promise<void> {
  const hash = createHash("sha256");
  for await (const piece of store.exportLayer(diffId)) hash.update(piece);
  if (`sha256:${hash.digest("hex")}` !== diffId) throw new Error(`the export of ${diffId} is another layer`);
}

async function check(store: Store, repair: boolean): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of fsck(store, { level: "full", repair, keepYoungerMs: 0 })) findings.push(finding);
  return findings;
}

function failureOf(error: unknown): NonNullable<Answer["failure"]> {
  const { message, code, stack, cause } = error as NodeJS.ErrnoException;
  const text = `${stack ?? message}${cause === undefined ? "" : `\ncaused by ${inspect(cause)}`}`;
  return { code: code ?? "", typed: ShaleError.is(error), text };
}

process.on("message", (order: Order) => {
  obey(order)
    .then(
      (outcome): Answer => ({ outcome }),
      (error: unknown): Answer => ({ failure: failureOf(error) }),
    )
    .then((answer) => process.send?.(answer))
    .catch(() => process.exit(3));
});
process.on("disconnect", () => process.exit(0));
process.send?.({});
