/** Writes results of any length, with backpressure. */
import type { Context } from "./command.ts";

/** The reader of standard output has gone, as in `shale ls | head`: the command ends silently and successfully. */
export class ReaderGone extends Error {
  override readonly name: string = "ReaderGone";
}

/** Writes a piece of the result; resolves when the stream takes more. @throws ReaderGone, the signal's reason */
export async function print({ stdout, signal }: Context, piece: string | Uint8Array): Promise<void> {
  signal.throwIfAborted();
  if (stdout.destroyed) throw new ReaderGone("standard output was closed");
  if (stdout.write(piece) !== false || !stdout.on) return;
  let wake: () => void = () => {};
  const ready = new Promise<void>((resolve) => (wake = resolve));
  stdout.on("drain", wake);
  stdout.on("close", wake);
  signal.addEventListener("abort", wake);
  try {
    await ready;
  } finally {
    stdout.off?.("drain", wake);
    stdout.off?.("close", wake);
    signal.removeEventListener("abort", wake);
  }
}

/** Writes one JSON document: `before`, then one item per line, then `after`. */
export async function printItems(
  context: Context,
  items: AsyncIterable<string> | Iterable<string>,
  { before = "[", after = () => "]" }: { readonly before?: string; readonly after?: () => string } = {},
): Promise<void> {
  let separator = `${before}\n`;
  let any = false;
  for await (const item of items) {
    await print(context, `${separator}${item}`);
    separator = ",\n";
    any = true;
  }
  await print(context, any ? `\n${after()}\n` : `${before}${after()}\n`);
}
