/** `shale rm`: removes references. */
import type { Store } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { missing } from "../open-image.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON, PLATFORM } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showJson, showMessage } from "../show.ts";
import { flag, text } from "../values.ts";
import { renderGc } from "./gc.ts";

export const rmCommand: Command = {
  name: "rm",
  summary: "Remove references; the next gc deletes what nothing else keeps.",
  arguments: [{ name: "REFERENCE", repeated: true, completes: "reference" }],
  options: {
    ...COMMON,
    "all-platforms": { type: "boolean", help: "remove the reference for all platforms" },
    force: { type: "boolean", short: "f", help: "remove pinned references, too; the pin ends" },
    gc: { type: "boolean", help: "run gc now, without a grace period for recently used images" },
    ...PLATFORM,
  },
  conflicts: [["all-platforms", "platform"]],
  notes: ["An image stays in the store while another reference, a lease, a mount or a running pull keeps it."],
  json: "{ removed: [{ reference, platform }], failed: [{ reference, error: { code, message } }], gc }, gc only with --gc, as shale gc --json prints it",
  examples: [
    ["shale rm alpine:3.20", "remove the reference; shale gc then frees space"],
    ["shale rm --gc --all-platforms alpine:3.20 debian:13", "for all platforms, and free space now"],
  ],
  run: rm,
};

interface Removed {
  readonly reference: string;
  readonly platform: string | undefined;
}

async function rm(line: Line, context: Context): Promise<number> {
  const { args, values } = line;
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const force = flag(values, "force");
  const removed: Removed[] = [];
  const failed: { readonly reference: string; readonly error: object }[] = [];
  let exitCode = 0;
  for (const reference of new Set(args)) {
    try {
      const all = flag(values, "all-platforms");
      const asked = text(values, "platform");
      const platforms = all ? await knownPlatforms(store) : [asked];
      for await (const platform of removeEach(store, reference, { asked, platforms, force })) {
        removed.push({ reference, platform });
        if (!reporter.json) await print(context, `${showMessage(reference)}${platform === undefined ? "" : ` (${platform})`}\n`);
      }
    } catch (error) {
      const failure = reporter.fail(error, reference);
      exitCode ||= failure.exitCode;
      failed.push({ reference, error: failure.error });
    }
  }
  const gc = flag(values, "gc") ? await store.gc({ keepYoungerMs: 0, signal: context.signal }) : undefined;
  if (reporter.json) await print(context, `${showJson({ removed, failed, gc })}\n`);
  else if (gc) await print(context, renderGc(gc, { exact: false, dryRun: false }));
  return exitCode;
}

interface RemoveEach {
  readonly asked: string | undefined;
  /** Undefined: the platform of this machine. */
  readonly platforms: readonly (string | undefined)[];
  readonly force: boolean;
}

/** Yields the platforms for which the reference was removed. Throws the first error when all platforms have been tried. */
async function* removeEach(store: Store, reference: string, { asked, platforms, force }: RemoveEach): AsyncGenerator<string | undefined> {
  const refused: unknown[] = [];
  let any = false;
  for (const platform of platforms) {
    try {
      if (!(await store.remove(reference, { platform, force }))) continue;
    } catch (error) {
      refused.push(error);
      continue;
    }
    any = true;
    yield platform;
  }
  if (refused.length > 0) throw refused[0];
  if (!any) await missing(store, reference, asked);
}

async function knownPlatforms(store: Store): Promise<string[]> {
  const references = (await store.images()).flatMap((image) => image.references);
  return [...new Set(references.map(({ platform }) => platform))];
}
