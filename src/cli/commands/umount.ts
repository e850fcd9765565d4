/** `shale umount`: undoes `shale mount`. */
import { realpathSync } from "node:fs";
import { isErrno, ShaleError } from "../../errors.ts";
import type { Command, Context, Line } from "../command.ts";
import { mountLease } from "../mount-lease.ts";
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
  const target = realPath(line.args[0] ?? "");
  await using store = await openExistingStore(line, context, reporter.warn);
  const { unmountOverlay } = await context.loadApi();
  let failure: ShaleError | undefined;
  try {
    await unmountOverlay(target, { detach: flag(line.values, "detach") });
  } catch (error) {
    // EINVAL: TARGET is not a mount point; the lease of a mount that ended another way is still released
    if (!ShaleError.is(error, "MOUNT_FAILED") || !isErrno(error.cause, "EINVAL")) throw error;
    failure = error;
  }
  const released = await store.release(mountLease(target));
  if (failure !== undefined && !released) throw failure;
  const unmounted = failure === undefined;
  if (reporter.json) return await print(context, `${showJson({ target, unmounted, released })}\n`);
  return reporter.note(
    unmounted ? `unmounted ${JSON.stringify(target)}` : `nothing is mounted at ${JSON.stringify(target)}; the lease has ended`,
  );
}

function realPath(target: string): string {
  try {
    return realpathSync(target);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) throw error;
    throw new ShaleError(
      "MOUNT_FAILED",
      `${JSON.stringify(target)} cannot be unmounted: the directory does not exist`,
      { path: target },
      { cause: error },
    );
  }
}
