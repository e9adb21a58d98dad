/** Tells systemd how it goes (sd_notify(3)), by its own command: Node has no datagram sockets of the Unix domain. */
import { spawn } from "node:child_process";

export function notifySystemd(state: "READY=1" | "STOPPING=1"): void {
  if (process.env["NOTIFY_SOCKET"] === undefined) return;
  const child = spawn("systemd-notify", [state], { stdio: "ignore" });
  child.on("error", () => undefined);
  child.unref();
}
