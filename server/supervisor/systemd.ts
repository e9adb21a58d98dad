/** Tells systemd how it goes (sd_notify(3)), by its own command: Node has no datagram sockets of the Unix domain. */
import { spawn } from "node:child_process";

export function notifySystemd(argument: "--ready" | "--stopping"): void {
  if (process.env["NOTIFY_SOCKET"] === undefined) return;
  const child = spawn("systemd-notify", [argument], { stdio: "ignore" });
  child.on("error", () => undefined);
  child.unref();
}
