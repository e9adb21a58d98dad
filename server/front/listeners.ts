/** The sockets on which the front listens. */
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

export class Listeners {
  readonly #servers: Server[] = [];
  readonly #bound: Listener[] = [];

  /** With the ports that the kernel chose. */
  get bound(): readonly Listener[] {
    return this.#bound;
  }

  /** Throws ListenError; then none of them listens. */
  async listen(
    listeners: readonly Listener[],
    accept: (socket: Socket, listener: Listener) => void,
  ): Promise<void> {
    for (const listener of listeners) {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
        accept(socket, listener),
      );
      const { address: host, port } = listener;
      try {
        const listening = once(server, "listening");
        server.listen({ host, port, backlog: BACKLOG });
        await listening;
      } catch (error) {
        this.close();
        throw new ListenError(`${listener.protocol} ${host} port ${port}: ${why(error)}`);
      }
      this.#servers.push(server);
      this.#bound.push({ ...listener, port: (server.address() as AddressInfo).port });
    }
  }

  /** Connections that were accepted stay. */
  close(): void {
    for (const server of this.#servers) server.close();
  }
}

function why(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE") return "another program listens there";
  if (code === "EACCES") return "ports below 1024 need root";
  if (code === "EADDRNOTAVAIL") return "this machine does not have this address";
  return message;
}
