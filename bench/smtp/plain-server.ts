/** plain.ts, started on an empty directory. */
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Workspace } from "../workspace.ts";
import { ServerProcess } from "./server-process.ts";

const program = join(dirname(fileURLToPath(import.meta.url)), "plain.js");

export function startPlain(
  workspace: Workspace,
  directory: string,
  protocol: "smtp" | "lmtp" = "smtp",
): Promise<ServerProcess> {
  const mailboxes = workspace.path(directory);
  mkdirSync(mailboxes, { recursive: true });
  return ServerProcess.start(
    workspace.native,
    {
      name: "plain",
      argv: [program, mailboxes, "0", protocol],
      environment: { UV_THREADPOOL_SIZE: "16" },
      listeners: 1,
      mailboxes,
      cleanUp: async () => {},
    },
    `${mailboxes}.account`,
  );
}
