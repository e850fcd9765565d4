/** A way to a server that is long and narrow: each connection of its own has a latency and a bandwidth. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface SlowProxyOptions {
  /** `host:port` of the server. */
  readonly to: string;
  /** Milliseconds, each way. */
  readonly latencyMs: number;
  /** Towards the client, for each connection. */
  readonly bytesPerSecond: number;
}

export interface SlowProxy extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Connections made so far. */
  readonly connections: () => number;
}

export async function startSlowProxy({ to, latencyMs, bytesPerSecond }: SlowProxyOptions): Promise<SlowProxy> {
  const [address, port] = to.split(":");
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((client) => {
    connections++;
    const upstream = connect(Number(port), address);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true).on("error", () => socket.destroy());
      socket.once("close", () => sockets.delete(socket));
    }
    carry(client, upstream, { latencyMs, bytesPerSecond: Number.POSITIVE_INFINITY });
    carry(upstream, client, { latencyMs, bytesPerSecond });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** How much may be on the way, in milliseconds of the bandwidth. */
const QUEUE_MS = 50;

function carry(from: Socket, to: Socket, { latencyMs, bytesPerSecond }: Omit<SlowProxyOptions, "to">): void {
  let free = 0;
  const onTheWay: { readonly at: number; readonly arrive: () => void }[] = [];
  // in order, whatever the timers do
  const deliver = (): void => {
    while (onTheWay[0] !== undefined && onTheWay[0].at <= performance.now()) onTheWay.shift()?.arrive();
    if (onTheWay[0] !== undefined) setTimeout(deliver, Math.max(0, onTheWay[0].at - performance.now()));
  };
  const send = (arrive: () => void): void => {
    onTheWay.push({ at: free + latencyMs, arrive });
    if (onTheWay.length === 1) setTimeout(deliver, Math.max(0, free + latencyMs - performance.now()));
  };
  from.on("data", (chunk: Buffer) => {
    free = Math.max(free, performance.now()) + (chunk.length / bytesPerSecond) * 1000;
    send(() => to.destroyed || to.write(chunk));
    if (free - performance.now() < QUEUE_MS) return;
    from.pause();
    setTimeout(() => from.resume(), QUEUE_MS / 2);
  });
  from.once("end", () => send(() => to.end()));
  from.once("close", () => send(() => to.destroy()));
}
