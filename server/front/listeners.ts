/**
 * The sockets on which the front listens. Who comes before it can take anybody waits, also for `open`: a server of
 * Node accepts from the moment on that it is bound, and it is bound as root, before there are workers.
 */
import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Listener } from "../config/config.ts";

/** The kernel takes the smaller one of this and net.core.somaxconn. */
const BACKLOG = 4096;

/** The kernel's word about one address, said with the address. */
export class ListenError extends Error {
  override name = "ListenError";
  readonly code = "LISTEN";
}

type Accept = (socket: Socket, listener: Listener) => void;

export interface EarlyLimits {
  /** More of those that wait for `open` are closed without a word. */
  readonly earlyMax: number;
  /** accept(2) failed: the connection is lost, the listener goes on. */
  readonly failed: (listener: Listener, error: Error) => void;
}

/** Node destroys a socket that fails; without a listener the process would end too. */
function ignore(): void {}

export class Listeners {
  readonly #servers: Server[] = [];
  readonly #bound: Listener[] = [];
  readonly #early = new Map<Socket, Listener>();
  #accept: Accept | undefined;

  /** With the ports that the kernel chose. */
  get bound(): readonly Listener[] {
    return this.#bound;
  }

  /** Throws ListenError; then none of them listens. */
  async listen(listeners: readonly Listener[], { earlyMax, failed }: EarlyLimits): Promise<void> {
    for (const listener of listeners) {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        socket.on("error", ignore);
        if (this.#accept !== undefined) this.#accept(socket, listener);
        else if (this.#early.size >= earlyMax) socket.destroy();
        else {
          this.#early.set(socket, listener);
          socket.once("close", () => this.#early.delete(socket));
        }
      });
      const { address: host, port } = listener;
      try {
        const listening = once(server, "listening");
        server.listen({ host, port, backlog: BACKLOG });
        await listening;
      } catch (error) {
        this.close();
        throw new ListenError(`${listener.protocol} ${host} port ${port}: ${why(error)}`);
      }
      server.on("error", (error) => failed(listener, error));
      this.#servers.push(server);
      this.#bound.push({ ...listener, port: (server.address() as AddressInfo).port });
    }
  }

  /** Hands out those that wait, and all that come. */
  open(accept: Accept): void {
    this.#accept = accept;
    const early = [...this.#early];
    this.#early.clear();
    for (const [socket, listener] of early) accept(socket, listener);
  }

  /** Connections that were handed out stay. */
  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#early.keys()) socket.destroy();
  }
}

function why(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE") return "another program listens there";
  if (code === "EACCES") return "ports below 1024 need root";
  if (code === "EADDRNOTAVAIL") return "this machine does not have this address";
  return message;
}
