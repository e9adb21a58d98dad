/** `onespool serve` on a new store, configured as a user would for mailboxes user1 to userN. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { detach } from "../spool-process.ts";
import type { Workspace } from "../workspace.ts";
import { DOMAIN } from "./drive.ts";
import { ServerProcess } from "./server-process.ts";

const commandLine = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "cli", "onespool.js");

export interface SpoolServerOptions {
  /** Name in the workspace. */
  readonly store: string;
  readonly users: number;
  readonly connectionsMax: number;
}

/** Defaults but for places, ports, users, and the number of connections that one client may have. */
function configuration(workspace: Workspace, options: SpoolServerOptions): string {
  const { store, users, connectionsMax } = options;
  const names = Array.from({ length: users }, (_, index) => `"user${index + 1}"`);
  return `hostname = "mail.${DOMAIN}"
metrics = "off"

[listen]
smtp = ["127.0.0.1:0"]
lmtp = ["127.0.0.1:0"]

[spool]
store = "${workspace.path(store)}"
mount = "${workspace.path(`${store}.mnt`)}"
binding = "${workspace.options.binding}"

[recipients]
domains = ["${DOMAIN}"]
users = [${names.join(", ")}]

[limits]
connections_max = ${connectionsMax}
connections_per_client_max = ${connectionsMax}

[log]
file = "${workspace.path(`${store}.log`)}"
`;
}

export async function startSpoolServer(
  workspace: Workspace,
  options: SpoolServerOptions,
): Promise<ServerProcess> {
  const store = workspace.path(options.store);
  const mount = `${store}.mnt`;
  mkdirSync(mount, { recursive: true });
  writeFileSync(`${store}.toml`, configuration(workspace, options));
  const nodeOptions = (process.env["ONESPOOL_BENCH_NODE"] ?? "").split(" ").filter(Boolean);
  return ServerProcess.start(
    workspace.native,
    {
      name: "spool",
      argv: [...nodeOptions, commandLine, "serve", "--config", `${store}.toml`],
      // What the command's first line sets when it is started by its name.
      environment: { MALLOC_ARENA_MAX: "1" },
      listeners: 2,
      mailboxes: mount,
      cleanUp: () => detach(mount),
    },
    `${store}.account`,
  );
}
