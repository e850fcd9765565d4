/** `shale pin` and `shale unpin`: references whose images no budget removes. */
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
  summary: "Pins references, so that no budget removes their images; or lists the pins.",
  arguments: [{ name: "REFERENCE", optional: true, repeated: true, completes: "reference" }],
  options: { ...COMMON, ...PLATFORM },
  notes: ["A pin follows its reference when a pull moves it, and lasts until shale unpin. With --quiet the list has the references alone."],
  json: "{ pinned: [reference], failed: [{ reference, error: { code, message } }] }, or as a list { pins: [{ reference, platform, manifestDigest }] }",
  examples: [
    ["shale pin alpine:3.20", "keep it, whatever the budget"],
    ["shale pin", "list the pins"],
  ],
  run: pin,
};

export const unpinCommand: Command = {
  name: "unpin",
  summary: "Ends pins.",
  arguments: [{ name: "REFERENCE", repeated: true, completes: "reference" }],
  options: { ...COMMON, ...PLATFORM },
  json: "{ unpinned: [reference], failed: [{ reference, error: { code, message } }] }",
  examples: [["shale unpin alpine:3.20", "a budget may remove it again"]],
  run: (line, context) => eachOf(line, context, { done: "unpinned", act: unpinOne }),
};

async function pin(line: Line, context: Context): Promise<number | void> {
  if (line.args.length > 0)
    return eachOf(line, context, { done: "pinned", act: (store, reference, platform) => store.pin(reference, { platform }) });
  return listPins(line, context);
}

async function unpinOne(store: Store, reference: string, platform: string | undefined): Promise<void> {
  if (await store.unpin(reference, { platform })) return;
  throw new ShaleError("NOT_PINNED", "there is no such pin; shale pin lists them, --platform names another platform", { reference });
}

interface Action {
  /** What the JSON result calls those that went well. */
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
    return [showMessage(reference), showMessage(platform), manifestDigest === undefined ? "(not there)" : showDigest(manifestDigest)];
  });
  return await print(context, await renderTable(COLUMNS, rows, context));
}
