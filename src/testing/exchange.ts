/** One request to the test registry and its answer, with an optional fault. */
import { once } from "node:events";
import { constants, type Http2ServerResponse } from "node:http2";
import { request as sendRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { AuthReply } from "./auth.ts";
import { readContent, type TestBlob } from "./blob.ts";
import { distort, type FaultAction, type RecordedRequest } from "./faults.ts";

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: Mutable<RecordedRequest>;
  readonly action: FaultAction | undefined;
}

/** Returns true if the fault is the whole answer. */
export function answerWithFault({ request, response, record }: Exchange, action: FaultAction): boolean {
  switch (action.kind) {
    case "respond":
      writeHead(response, record, { status: action.status, headers: { ...action.headers } });
      response.end(action.body);
      return true;
    case "redirect": {
      const location = typeof action.location === "string" ? action.location : action.location(record);
      writeHead(response, record, { status: action.status ?? 307, headers: { location } });
      response.end();
      return true;
    }
    case "drop":
      request.socket.destroy();
      return true;
    case "handle":
      action.handle(request, response);
      return true;
    default:
      return false;
  }
}

/** Sends the upstream's answer, changed by the fault. */
export async function forward({ request, response, record, action }: Exchange, upstream: string): Promise<void> {
  const { host: _, range, ...rest } = request.headers;
  const headers = { ...rest, ...(range !== undefined && action?.kind !== "ignore-range" && { range }) };
  const asked = sendRequest(new URL(request.url ?? "/", upstream), { method: request.method ?? "GET", headers, agent: false });
  request.pipe(asked);
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  const changed = { ...answer.headers, ...(action?.kind === "headers" && action.headers) } as Record<string, string | undefined>;
  writeHead(response, record, {
    status: answer.statusCode ?? 502,
    headers: { ...changed, ...(action?.kind === "extend" && { "content-length": undefined }) },
  });
  await sendBody({ request, response, record, action }, answer);
}

export async function sendBlob(exchange: Exchange, blob: TestBlob, contentType: string): Promise<void> {
  const { request, response, record, action } = exchange;
  const range = action?.kind === "ignore-range" ? undefined : parseRange(request.headers.range, blob.size);
  const { start, end } = range ?? { start: 0, end: blob.size };
  if (start >= end && range !== undefined) return sendJson(exchange, { status: 416, json: {} });
  const headers = {
    "content-type": contentType,
    "docker-content-digest": blob.digest,
    "content-length": action?.kind === "extend" ? undefined : String(end - start),
    ...(range && { "content-range": `bytes ${start}-${end - 1}/${blob.size}` }),
    ...(action?.kind === "headers" && action.headers),
  };
  writeHead(response, record, { status: range === undefined ? 200 : 206, headers });
  if (request.method === "HEAD") return void response.end();
  await sendBody(exchange, readContent(blob, start, end));
}

async function sendBody({ response, record, action }: Exchange, body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of distort(body, action)) {
    if (chunk === undefined) return breakConnection(response);
    record.bytes += chunk.length;
    if (!response.write(chunk)) await drained(response);
    if (response.destroyed) return;
  }
  if (action?.kind !== "stall") response.end();
}

async function drained(response: ServerResponse): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  const events = ["drain", "close"].map(async (event) => once(response, event, { signal }));
  await Promise.race(events).finally(() => over.abort());
  await Promise.allSettled(events);
}

/** Sends a FIN after the bytes so far: a reset could discard them in the client's receive buffer. With HTTP/2 it resets the stream. */
function breakConnection(response: ServerResponse): void {
  const { stream } = response as unknown as Partial<Http2ServerResponse>;
  if (stream === undefined) response.socket?.end();
  else setTimeout(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR), 50);
}

export function sendJson({ request, response, record }: Exchange, reply: AuthReply): void {
  const body = JSON.stringify(reply.json);
  const headers = { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)), ...reply.headers };
  writeHead(response, record, { status: reply.status, headers });
  response.end(request.method === "HEAD" ? undefined : body);
}

function writeHead(
  response: ServerResponse,
  record: Mutable<RecordedRequest>,
  head: { status: number; headers: Record<string, string | undefined> },
): void {
  for (const [name, value] of Object.entries(head.headers)) if (value !== undefined) response.setHeader(name, value);
  record.status = head.status;
  response.writeHead(head.status);
}

function parseRange(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const match = /^bytes=([0-9]+)-([0-9]*)$/.exec(header ?? "");
  if (match === null) return undefined;
  return { start: Number(match[1]), end: match[2] === "" ? size : Math.min(Number(match[2]) + 1, size) };
}
