/**
 * Front and one worker in the process of a test: the same code, joined by a call in place of a channel. What
 * crosses between them is made JSON and back, as between processes.
 */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { once } from "node:events";
import type { SecureContext } from "node:tls";
import type { Config } from "../../server/config/config.ts";
import type { Delivery } from "../../server/delivery/delivery.ts";
import { Front } from "../../server/front/front.ts";
import { unquiet } from "../../server/hand-over/quiet-socket.ts";
import type { HandOverRecord } from "../../server/hand-over/record.ts";
import type { HandOverResult, WorkerPort } from "../../server/hand-over/worker-port.ts";
import type { ConnectionLine, MessageLine } from "../../server/log/lines.ts";
import type { Log } from "../../server/log/log.ts";
import { monotonicMs } from "../../server/monotonic.ts";
import { Counters } from "../../server/metrics/counters.ts";
import type { Protocol } from "../../server/smtp/protocol.ts";
import { Protocols } from "../../server/smtp/protocol.ts";
import { loadChecks } from "../../server/checks/load-checks.ts";
import { Worker } from "../../server/worker/worker.ts";

const TICK_MS = 20;

export interface InProcessOptions {
  readonly config: Config;
  readonly delivery: Delivery;
  /** What becomes of a hand-over; undefined: it is taken. */
  readonly onGive?: () => HandOverResult | undefined;
  readonly secureContext?: SecureContext | undefined;
}

export class InProcessServer {
  readonly connections: ConnectionLine[] = [];
  readonly messages: MessageLine[] = [];
  readonly faults: string[] = [];
  readonly front: Front;
  readonly worker: Worker;
  readonly #servers: Server[] = [];
  readonly #timer: NodeJS.Timeout;

  private constructor(front: Front, worker: Worker) {
    this.front = front;
    this.worker = worker;
    this.#timer = setInterval(() => {
      front.tick(monotonicMs());
      worker.tick(monotonicMs());
    }, TICK_MS);
  }

  static async start({
    config,
    delivery,
    onGive,
    secureContext,
  }: InProcessOptions): Promise<InProcessServer> {
    const checks = await loadChecks(config);
    const lines: InProcessServer[] = [];
    const log = logTo(() => lines[0]!);
    const counters = new Counters("front");
    const worker = new Worker(
      {
        protocols: new Protocols(config, false),
        log,
        counters,
        onEnded: (id) => front.workerClosed([id]),
      },
      { config, checks, delivery },
    );
    const port: WorkerPort = {
      sessions: 0,
      relays: 0,
      give: (record, socket, settled) => {
        const result = onGive?.() ?? "taken";
        const copy = JSON.parse(JSON.stringify(record)) as HandOverRecord;
        setImmediate(() => {
          settled(result);
          if (result !== "taken") return;
          if (worker.take(copy, socket)) unquiet(socket);
        });
      },
    };
    const front: Front = new Front(
      {
        protocols: new Protocols(config, secureContext !== undefined),
        workers: { ports: [port] },
        log,
        counters,
        onStress: (isOn) => (worker.isStress = isOn),
      },
      { config, checks, secureContext },
    );
    const server = new InProcessServer(front, worker);
    lines.push(server);
    return server;
  }

  /** Returns the port on 127.0.0.1. */
  async listen(protocol: Protocol): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket: Socket) =>
      this.front.accept(socket, { protocol, address: "127.0.0.1", port: 0 }),
    );
    this.#servers.push(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const server of this.#servers) server.close();
    this.front.drain();
    this.worker.drain();
  }
}

function logTo(server: () => InProcessServer): Log {
  const nothing = (): void => undefined;
  return {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: (text, fields) => server().faults.push(`${text} ${JSON.stringify(fields)}`),
    connection: (line) => server().connections.push(line),
    message: (line) => server().messages.push(line),
    configure: nothing,
    reopen: nothing,
    flush: nothing,
  };
}
