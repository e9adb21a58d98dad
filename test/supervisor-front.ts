/**
 * Pretends to be the front, for supervisor.test.ts. What it does is told by `hostname`: "fails" cannot start, "dies"
 * ends before it is ready, "silent" never says that it is, "stubborn" does not drain; in a reload "refused" is kept out and "deadly" ends it. Its levels of hearing are written to its log.
 */
import type { FromFront, ToFront } from "../server/messages.ts";
import { createLog, type Log } from "../server/log/log.ts";
import { Counters } from "../server/metrics/counters.ts";

const counters = new Counters("front");
let log: Log | undefined;
let behaviour = "";

function tell(message: FromFront, then: () => void = () => undefined): void {
  process.send?.(message, then);
}

process.on("message", (message: ToFront) => {
  if (message.type === "drain") {
    if (behaviour !== "stubborn") process.exit(0);
    return;
  }
  if (message.type === "reopen") {
    log?.reopen();
    log?.info("opened anew");
    log?.flush();
    return;
  }
  const { config } = message;
  const isFirst = log === undefined;
  if (!isFirst && config.hostname === "deadly") process.exit(9);
  if (!isFirst && config.hostname === "refused") {
    tell({ type: "reloaded", problem: "aliases: no" });
    return;
  }
  behaviour = config.hostname;
  log ??= createLog(config.log, "front");
  log.configure(config.log);
  log.info("configured", { hostname: config.hostname, listen: config.listen });
  log.flush();
  if (!isFirst) {
    tell({ type: "reloaded", problem: undefined });
    return;
  }
  if (behaviour === "dies") process.exit(7);
  if (behaviour === "fails") {
    tell({ type: "failed", message: "127.0.0.1:25: permission denied" }, () => process.exit(1));
    return;
  }
  if (behaviour === "silent") return;
  counters.connectionEnded("quit");
  counters.setOpen("front", 5);
  tell({ type: "counters", counters: counters.snapshot() });
  tell({ type: "ready", listening: config.listen });
});
process.on("disconnect", () => process.exit(0));
