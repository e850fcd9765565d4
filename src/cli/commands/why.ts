/** `shale why`: shows what keeps an object in the store. */
import { ShaleError } from "../../errors.ts";
import type { KeepingChain, StoredObject } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showDigest, showJson, showMessage } from "../show.ts";
import { showReason } from "../show-reason.ts";
import { amount } from "../values.ts";

export const whyCommand: Command = {
  name: "why",
  summary: "Show what keeps an object in the store: each chain from the object to a reason.",
  arguments: [{ name: "OBJECT", completes: "reference" }],
  options: {
    ...COMMON,
    "keep-younger": { type: "duration", argument: "TIME", help: "as for shale gc: what was used within TIME counts as kept (default 5m)" },
  },
  notes: [
    "OBJECT is a reference; a digest (sha256:...) of a manifest, config, kept blob, layer (diff ID) or file content; a tree id (26 characters); or the name or path of a file in chunks/.",
    "The next shale gc deletes what nothing keeps.",
  ],
  json: "{ objects: [{ kind, id, chains: [{ through: [{ kind, id }], reason: { kind, ... } }] }] }; a digest may name several objects",
  examples: [
    ["shale why alpine:3.20", "an image"],
    ["shale why sha256:4bcff6...", "a layer, or any object with this digest"],
  ],
  run: why,
};

async function why(line: Line, context: Context): Promise<void> {
  const [object = ""] = line.args;
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const objects = await store.why(object, { keepYoungerMs: amount(line.values, "keep-younger"), signal: context.signal });
  if (objects.length === 0) {
    const message = `${JSON.stringify(object.slice(0, 300))} names nothing in the store; shale images lists the images`;
    throw new ShaleError("NOT_CACHED", message, { reference: object });
  }
  if (reporter.json) return await print(context, `${showJson({ objects })}\n`);
  const now = (context.now ?? Date.now)();
  for (const { chains, ...found } of objects) {
    await print(context, `${showObject(found, true)}${chains.length === 0 ? ": nothing keeps it; the next shale gc deletes it" : ""}\n`);
    for (const chain of chains) await print(context, `  ${showChain(chain, now)}\n`);
  }
}

function showChain({ through, reason }: KeepingChain, now: number): string {
  return [...through.map((object) => showObject(object, false)), showReason(reason, now)].join(" < ");
}

function showObject({ kind, id }: StoredObject, whole: boolean): string {
  return `${kind} ${showMessage(whole || !id.startsWith("sha") ? id : showDigest(id))}`;
}
