/** `shale prefetch`: pulls many images into the store for later use. */
import { messageOf } from "../../errors.ts";
import { readFileSync } from "node:fs";
import type { Image, ProgressEvent, PullPolicy, Registry } from "../../index.ts";
import { ProgressSummary } from "../../progress.ts";
import type { Command, Context, Line } from "../command.ts";
import { storePath } from "../open-store.ts";
import { COMMON, MATERIALIZE, PLATFORM, PROFILE, PULL, REGISTRY } from "../options.ts";
import { print } from "../print.ts";
import { StatusLine } from "../progress/status-line.ts";
import { showLeft } from "../progress/total-line.ts";
import { openRegistry, registryOptions, storeOptions } from "../registry-options.ts";
import { Reporter } from "../reporter.ts";
import { showCount, showJson, showMessage, showSize } from "../show.ts";
import { UsageError } from "../usage-error.ts";
import { amount, text } from "../values.ts";
import { fetched, pullOptions } from "./pull.ts";

export const prefetchCommand: Command = {
  name: "prefetch",
  summary: "Pull many images into the store, several at a time, without creating directories.",
  arguments: [{ name: "REFERENCE", optional: true, repeated: true, completes: "reference" }],
  options: {
    ...COMMON,
    from: {
      type: "string",
      argument: "FILE",
      completes: "file",
      help: "read references from FILE, one per line; # starts a comment, - is standard input",
    },
    jobs: { type: "count", short: "j", argument: "COUNT", help: "number of images pulled at a time (default 4)" },
    policy: {
      type: "string",
      argument: "POLICY",
      choices: ["if-missing", "always"],
      help: "when to contact the registry (default if-missing)",
    },
    ...MATERIALIZE,
    ...PLATFORM,
    ...PROFILE,
    ...PULL,
    ...REGISTRY,
  },
  notes: [
    "--materialize defaults to lazy here. A layer that several images share is fetched once. If one image fails, the others are still pulled.",
    "Standard output: one line per image when it is complete, with reference, manifest digest, and what was downloaded.",
  ],
  json: "{ images: [{ reference, manifestDigest, cached, stats } or { reference, error: { code, message } }] }, in the order given",
  examples: [
    ["shale prefetch alpine:3.20 debian:13 python:3.13", "three images"],
    ["shale prefetch --jobs 8 --from images.txt", "the images listed in a file"],
  ],
  run: prefetch,
};

const JOBS = 4;
const LONGEST_LIST = 1024 * 1024;

type Outcome = Pick<Image, "manifestDigest" | "cached" | "stats"> | { readonly error: object };

async function prefetch(line: Line, context: Context): Promise<number> {
  const { values, args } = line;
  const { signal } = context;
  const references = [...new Set([...args, ...listed(text(values, "from"))])];
  if (references.length === 0) throw new UsageError("REFERENCE is missing; name images, or a file that lists them with --from");
  const asked = registryOptions(line);
  const reporter = new Reporter(line, context);
  using status = new StatusLine(context, reporter);
  const sum = new Sum(references.length, status);
  const { openStore, Registry } = await context.loadBoot();
  const onWarning = sum.before(reporter.warn);
  const note = (text: string): void => {
    status.clear();
    reporter.note(text);
  };
  await using store = await openStore(storePath(line, context), storeOptions(line, { signal, onWarning, note }));
  await using registry = openRegistry(Registry, { ...asked, store });
  const { default: Queue } = await import("p-queue");
  const queue = new Queue({ concurrency: amount(values, "jobs") ?? JOBS });
  const outcomes = new Map<string, Outcome>();
  let exitCode = 0;
  const one = async (reference: string): Promise<void> => {
    try {
      const image = await pullOne(registry, reference, { line, context, sum });
      outcomes.set(reference, image);
      sum.finish();
      if (reporter.json) return;
      status.clear();
      await print(
        context,
        reporter.quiet
          ? `${image.manifestDigest}\n`
          : `${showMessage(reference)} ${image.manifestDigest} ${image.cached ? "cached" : fetched(image)}\n`,
      );
    } catch (error) {
      if (signal.aborted) return;
      status.clear();
      const failure = reporter.fail(error, reference);
      sum.fail();
      exitCode ||= failure.exitCode;
      outcomes.set(reference, { error: failure.error });
    }
  };
  await Promise.all(references.map((reference) => queue.add(() => (signal.aborted ? undefined : one(reference)))));
  signal.throwIfAborted();
  if (reporter.json)
    await print(context, `${showJson({ images: references.map((reference) => ({ reference, ...outcomes.get(reference) })) })}\n`);
  return exitCode;
}

interface PullOne {
  readonly line: Line;
  readonly context: Context;
  readonly sum: Sum;
}

async function pullOne(
  registry: Registry,
  reference: string,
  { line, context, sum }: PullOne,
): Promise<Pick<Image, "manifestDigest" | "cached" | "stats">> {
  await using image = await registry.pull(reference, {
    ...pullOptions(line),
    materialize: (text(line.values, "materialize") as "eager" | "lazy" | undefined) ?? "lazy",
    pullPolicy: text(line.values, "policy") as PullPolicy | undefined,
    signal: context.signal,
    onProgress: sum.follow(),
  });
  const { manifestDigest, cached, stats } = image;
  return { manifestDigest, cached, stats };
}

/** Adds up the progress of all pulls, for one line. */
class Sum {
  readonly #images: number;
  readonly #status: StatusLine;
  /** A layer that several images share counts once. */
  readonly #total: ProgressSummary = new ProgressSummary();
  #resolved = 0;
  #finished = 0;
  #failed = 0;

  constructor(images: number, status: StatusLine) {
    this.#images = images;
    this.#status = status;
  }

  /** For one pull. */
  follow(): (event: ProgressEvent) => void {
    let known = false;
    return (event) => {
      // a cached image is complete at once
      if (!known && (event.kind === "resolved" || event.kind === "complete" || event.kind === "failed")) {
        known = true;
        this.#resolved++;
      }
      this.#total.update(event);
      if (event.kind === "download-advanced") this.#show();
    };
  }

  finish(): void {
    this.#finished++;
    this.#show();
  }

  fail(): void {
    this.#failed++;
    this.#show();
  }

  before(warn: (code: string, message: string) => void): (code: string, message: string) => void {
    return (code, message) => {
      this.#status.clear();
      warn(code, message);
    };
  }

  #show(): void {
    const parts = [`${this.#finished} of ${showCount(this.#images, "image")}`];
    if (this.#failed > 0) parts.push(`${this.#failed} failed`);
    const { layers, downloadedBytes, totalBytes, bytesPerSecond, remainingMs } = this.#total.snapshot();
    if (layers.total > 0) {
      // before all manifests are known the sum, and the time with it, would still grow
      const whole = this.#resolved === this.#images ? totalBytes : undefined;
      parts.push(whole === undefined ? `${showSize(downloadedBytes)} fetched` : `${showSize(downloadedBytes)} of ${showSize(whole)}`);
      if (bytesPerSecond !== undefined) parts.push(`${showSize(bytesPerSecond)}/s`);
      if (whole !== undefined && remainingMs !== undefined) parts.push(showLeft(remainingMs));
    }
    this.#status.show(parts.join(", "));
  }
}

function listed(file: string | undefined): string[] {
  if (file === undefined) return [];
  const text = readList(file === "-" ? 0 : file);
  if (text.length > LONGEST_LIST) throw new UsageError(`--from ${JSON.stringify(file)} is longer than 1 MiB`);
  const lines = text.split("\n").map((line) => line.replace(/(^|\s)#.*$/, "").trim());
  return lines.filter((line) => line !== "");
}

function readList(file: string | 0): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`--from cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
