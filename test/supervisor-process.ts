/** A supervisor with a front that only pretends, for supervisor.test.ts: CONFIG_FILE DRAIN_MS. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Config } from "../server/config/config.ts";
import { StartFailure } from "../server/supervisor/start-failure.ts";
import { supervise } from "../server/supervisor/supervisor.ts";

const [file = "", drainMs = ""] = process.argv.slice(2);

try {
  process.exitCode = await supervise({
    loadConfig: () => JSON.parse(readFileSync(file, "utf8")) as Config,
    readTls: () => undefined,
    pendingOf: async () => ({ pending: 3, oldestSeconds: 4000 }),
    onReady: (lines) => process.stdout.write(`${lines.join("\n")}\nready\n`),
    frontProgram: fileURLToPath(new URL("./supervisor-front.js", import.meta.url)),
    drainMsMax: Number(drainMs),
  });
} catch (error) {
  if (!(error instanceof StartFailure)) throw error;
  process.stderr.write(`onespool: ${error.message}\n`);
  process.exitCode = error.exitCode;
}
