/** `shale lease`: keeps images by name, for users that outlive a command. */
import { ShaleError } from "../../errors.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { openImage } from "../open-image.ts";
import { COMMON, PLATFORM } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showDigest, showJson, shortReference, showMessage, showUntil } from "../show.ts";
import { renderTable, type Column } from "../table.ts";
import { amount } from "../values.ts";

export const leaseAddCommand: Command = {
  name: "lease add",
  summary: "Keep an image by a lease, until the lease is removed or expires.",
  arguments: [{ name: "NAME" }, { name: "REFERENCE", completes: "reference" }],
  options: { ...COMMON, ttl: { type: "duration", argument: "TIME", help: "expire after TIME (default: never)" }, ...PLATFORM },
  notes: ["An existing lease NAME is moved to this image."],
  json: "{ name, reference, manifestDigest, expires }, expires in ms since 1970, absent if the lease does not expire",
  examples: [["shale lease add --ttl 12h sandbox-42 alpine:3.20", "keep an image for twelve hours"]],
  run: add,
};

export const leaseLsCommand: Command = {
  name: "lease ls",
  summary: "List the leases by name.",
  arguments: [],
  options: { ...COMMON },
  notes: ["With --quiet: only the names."],
  json: "{ leases: [{ name, manifestDigest, references, expires }] }",
  examples: [["shale lease ls", "show a table"]],
  run: ls,
};

export const leaseRmCommand: Command = {
  name: "lease rm",
  summary: "Remove leases by name.",
  arguments: [{ name: "NAME", repeated: true, completes: "lease" }],
  options: { ...COMMON },
  json: "{ released: [name], failed: [{ name, error: { code, message } }] }",
  examples: [["shale lease rm sandbox-42", "the next shale gc deletes the image, unless something else keeps it"]],
  run: rm,
};

async function add(line: Line, context: Context): Promise<void> {
  const [name = "", reference = ""] = line.args;
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  await using image = await openImage(store, reference, { line, context });
  const { manifestDigest, expires } = await store.lease(name, image, { ttlMs: amount(line.values, "ttl") });
  if (reporter.json) return await print(context, `${showJson({ name, reference: image.reference, manifestDigest, expires })}\n`);
  const end = expires === undefined ? "" : `; it expires ${showUntil(expires, (context.now ?? Date.now)())}`;
  return reporter.note(`the lease ${showMessage(JSON.stringify(name))} keeps ${showMessage(image.reference)}${end}`);
}

const COLUMNS: readonly Column[] = [
  { title: "NAME" },
  { title: "DIGEST", drops: 2 },
  { title: "EXPIRES", drops: 1 },
  { title: "IMAGE", shrinks: true, shorten: shortReference },
];

async function ls(line: Line, context: Context): Promise<void> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const images = new Map((await store.images()).map((image) => [image.manifestDigest, image]));
  const leases = (await store.leases()).map(({ name, manifestDigest, expires }) => {
    const references = (images.get(manifestDigest)?.references ?? []).map(({ reference }) => reference);
    return { name, manifestDigest, references, expires };
  });
  if (reporter.json) return await print(context, `${showJson({ leases })}\n`);
  if (reporter.quiet) return await print(context, leases.map(({ name }) => `${showMessage(name)}\n`).join(""));
  if (leases.length === 0) return reporter.note("no leases");
  const now = (context.now ?? Date.now)();
  const rows = leases.map(({ name, manifestDigest, references, expires }) => {
    const image = references.length > 0 ? references.join(", ") : "(no reference)";
    return [showMessage(name), showDigest(manifestDigest), expires === undefined ? "never" : showUntil(expires, now), showMessage(image)];
  });
  return await print(context, await renderTable(COLUMNS, rows, context));
}

async function rm(line: Line, context: Context): Promise<number> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const released: string[] = [];
  const failed: { readonly name: string; readonly error: object }[] = [];
  let exitCode = 0;
  for (const name of new Set(line.args)) {
    if (await store.release(name)) {
      released.push(name);
      if (!reporter.json) await print(context, `${showMessage(name)}\n`);
      continue;
    }
    const failure = reporter.fail(
      new ShaleError("LEASE_NOT_FOUND", "no lease has this name; shale lease ls lists the leases", { name }),
      name,
    );
    exitCode ||= failure.exitCode;
    failed.push({ name, error: failure.error });
  }
  if (reporter.json) await print(context, `${showJson({ released, failed })}\n`);
  return exitCode;
}
