/** `shale umount`: undoes `shale mount`. */
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showJson } from "../show.ts";
import { flag } from "../values.ts";

export const umountCommand: Command = {
  name: "umount",
  summary: "Unmount an image, and end its lease.",
  arguments: [{ name: "TARGET", completes: "directory" }],
  options: {
    ...COMMON,
    detach: { type: "boolean", help: "unmount even if busy: hide the mount now, end it with its last user" },
  },
  notes: ["After a reboot nothing is mounted; then it only ends the lease."],
  json: "{ target, unmounted, released }",
  examples: [["shale umount /mnt", "unmount what shale mount has mounted"]],
  run: umount,
};

async function umount(line: Line, context: Context): Promise<void> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const { unmountImage } = await context.loadApi();
  const { target, unmounted, released } = await unmountImage(store, line.args[0] ?? "", { detach: flag(line.values, "detach") });
  if (reporter.json) return await print(context, `${showJson({ target, unmounted, released })}\n`);
  return reporter.note(
    unmounted ? `unmounted ${JSON.stringify(target)}` : `nothing is mounted at ${JSON.stringify(target)}; the lease has ended`,
  );
}
