/** Results of any length: no faster than they are read. */
import type { Context } from "./command.ts";

/** Whoever read our output is gone: there is nobody to tell, and nothing went wrong. */
export class ReaderGone extends Error {
  override readonly name: string = "ReaderGone";
}

/** Writes a piece of the result; resolves when there is room for more. @throws ReaderGone, the signal's reason */
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

/** One JSON document, `before`, then items one a line, then `after`. */
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
