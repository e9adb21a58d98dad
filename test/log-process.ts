/** A process that logs, for log.test.ts: FILE LINES END. */
import { setTimeout as sleep } from "node:timers/promises";
import { createLog } from "../server/log/log.ts";

const [file = "", count = "", end = ""] = process.argv.slice(2);
const log = createLog({ level: "info", file }, "worker");

function write(): void {
  for (let number = 0; number < Number(count); number++) log.info('a "line"\n', { number });
  log.debug("not shown");
}

write();
switch (end) {
  case "return":
    process.disconnect();
    break;
  case "exit":
    process.exit(0);
    break;
  case "throw":
    setTimeout(() => {
      throw new Error("thrown for the test");
    });
    break;
  case "reject":
    void Promise.reject(new Error("rejected for the test"));
    break;
  case "waitListening":
    process.on("SIGTERM", () => process.exit(0));
    setInterval(() => undefined, 1000);
    process.send?.("waiting");
    break;
  case "wait":
    setInterval(() => undefined, 1000);
    process.send?.("waiting");
    break;
  case "reopen":
    process.once("message", () => {
      log.reopen();
      write();
      process.disconnect();
    });
    log.flush();
    process.send?.("waiting");
    break;
  case "configureBadly":
    try {
      log.configure({ level: "info", file: "/nowhere/at/all" });
    } catch {
      write();
      await sleep(1);
      process.exit(0);
    }
    process.exit(1);
}
