/** `shale pin` and `shale unpin`: protect references from a budget. */
import { ShaleError } from "../../errors.ts";
import type { Store } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON, PLATFORM } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showDigest, showJson, shortReference, showMessage } from "../show.ts";
import { renderTable, type Column } from "../table.ts";
import { text } from "../values.ts";

export const pinCommand: Command = {
  name: "pin",
  summary: "Pin references, so that no budget removes their images; without REFERENCE, list the pins.",
  arguments: [{ name: "REFERENCE", optional: true, repeated: true, completes: "reference" }],
  options: { ...COMMON, ...PLATFORM },
  notes: [
    "When a pull moves the reference to another image, the pin follows. It lasts until shale unpin. With --quiet: the list contains only the references.",
  ],
  json: "{ pinned: [reference], failed: [{ reference, error: { code, message } }] }, or as a list { pins: [{ reference, platform, manifestDigest }] }",
  examples: [
    ["shale pin alpine:3.20", "keep the image, whatever the budget"],
    ["shale pin", "list the pins"],
  ],
  run: pin,
};

export const unpinCommand: Command = {
  name: "unpin",
  summary: "Remove pins from references.",
  arguments: [{ name: "REFERENCE", repeated: true, completes: "reference" }],
  options: { ...COMMON, ...PLATFORM },
  json: "{ unpinned: [reference], failed: [{ reference, error: { code, message } }] }",
  examples: [["shale unpin alpine:3.20", "a budget may remove the image again"]],
  run: (line, context) => eachOf(line, context, { done: "unpinned", act: unpinOne }),
};

async function pin(line: Line, context: Context): Promise<number | void> {
  if (line.args.length > 0)
    return eachOf(line, context, { done: "pinned", act: (store, reference, platform) => store.pin(reference, { platform }) });
  return listPins(line, context);
}

async function unpinOne(store: Store, reference: string, platform: string | undefined): Promise<void> {
  if (await store.unpin(reference, { platform })) return;
  throw new ShaleError("NOT_PINNED", "the reference is not pinned; shale pin lists the pins, --platform selects another platform", {
    reference,
  });
}

interface Action {
  /** Name of the list of successes in the JSON result. */
  readonly done: string;
  readonly act: (store: Store, reference: string, platform: string | undefined) => Promise<void>;
}

async function eachOf(line: Line, context: Context, { done, act }: Action): Promise<number> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const well: string[] = [];
  const failed: { readonly reference: string; readonly error: object }[] = [];
  let exitCode = 0;
  for (const reference of new Set(line.args)) {
    try {
      await act(store, reference, text(line.values, "platform"));
      well.push(reference);
      if (!reporter.json) await print(context, `${showMessage(reference)}\n`);
    } catch (error) {
      const failure = reporter.fail(error, reference);
      exitCode ||= failure.exitCode;
      failed.push({ reference, error: failure.error });
    }
  }
  if (reporter.json) await print(context, `${showJson({ [done]: well, failed })}\n`);
  return exitCode;
}

const COLUMNS: readonly Column[] = [
  { title: "REFERENCE", shrinks: true, shorten: shortReference },
  { title: "PLATFORM" },
  { title: "DIGEST", drops: 1 },
];

async function listPins(line: Line, context: Context): Promise<void> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const pins = await store.pins();
  if (reporter.json) return await print(context, `${showJson({ pins })}\n`);
  if (reporter.quiet) return await print(context, pins.map(({ reference }) => `${showMessage(reference)}\n`).join(""));
  if (pins.length === 0) return reporter.note("no pins");
  const rows = pins.map(({ reference, platform, manifestDigest }) => {
    return [showMessage(reference), showMessage(platform), manifestDigest === undefined ? "(missing)" : showDigest(manifestDigest)];
  });
  return await print(context, await renderTable(COLUMNS, rows, context));
}
