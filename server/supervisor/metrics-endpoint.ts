/** GET /metrics on a loopback address. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Config } from "../config/config.ts";
import { CONTENT_TYPE, exposition } from "../metrics/exposition.ts";
import type { CountersSnapshot } from "../metrics/snapshot.ts";

export interface MetricsEndpoint {
  readonly port: number;
  close(): void;
}

/** Throws what listen(2) says. */
export async function serveMetrics(
  address: NonNullable<Config["metrics"]>,
  sum: () => CountersSnapshot,
  failed: (error: Error) => void,
): Promise<MetricsEndpoint> {
  const server: Server = createServer((request, response) => {
    if (request.url?.split("?")[0] !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { allow: "GET, HEAD" }).end();
      return;
    }
    exposition(sum()).then(
      (page) => response.writeHead(200, { "content-type": CONTENT_TYPE }).end(page),
      (error: unknown) => response.destroy(error as Error),
    );
  });
  server.listen(address.port, address.address);
  await once(server, "listening");
  // accept(2) fails where descriptors or memory run out; who serves mail does not end over that.
  server.on("error", failed);
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
