/** What the demo puts on the screen: plain aligned lines, so that a pipe or a log shows the same as a terminal. */
import { LiveProgress } from "../../src/cli/progress/live-progress.ts";
import type { ProgressEvent, ProgressSink } from "../../src/index.ts";

export function line(text = ""): void {
  process.stdout.write(`${text}\n`);
}

export function heading(text: string): void {
  line();
  line(text);
}

/** A named value, in the column of the others. */
export function fact(name: string, value: string): void {
  line(`   ${name.padEnd(26)}${value}`);
}

export function showBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function showTime(milliseconds: number): string {
  if (milliseconds < 100) return `${milliseconds.toFixed(1)} ms`;
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

export interface PullProgress {
  readonly onEvent: ProgressSink;
  /** To be called when the pull has ended, before anything else is printed. */
  readonly stop: () => void;
}

/** Bars on a terminal, as the command line draws them; else lines. */
export function showProgress(): PullProgress {
  const live = process.stdout.isTTY && process.env["TERM"] !== "dumb";
  return live ? new LiveProgress(process.stdout) : { onEvent: progressLines(), stop: () => {} };
}

/** One line for each step of a pull, and a layer's download in quarters. */
function progressLines(): ProgressSink {
  let layers = 0;
  const quarters = new Map<number, number>();
  const about = (index: number, text: string): void => fact(`layer ${index + 1} of ${layers}`, text);
  return (event: ProgressEvent): void => {
    switch (event.kind) {
      case "resolved":
        layers = event.layers.length;
        return;
      case "download-advanced": {
        const quarter = Math.floor((event.bytes / event.total) * 4);
        if (quarter <= (quarters.get(event.index) ?? 0) || quarter > 3) return;
        quarters.set(event.index, quarter);
        return about(event.index, `${quarter * 25} % of ${showBytes(event.total)}`);
      }
      case "ingest-complete":
        return about(event.index, `unpacked: ${event.entries} files and directories, ${showBytes(event.bytes)}`);
      case "layer-skipped":
        return about(event.index, "in the store already");
      case "tree-complete":
        return about(event.index, `its directory is there: ${event.entries} names linked`);
      case "warning":
        return line(`   warning: ${event.message}`);
      default:
        return;
    }
  };
}
