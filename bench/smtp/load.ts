/** `node dist/bench/smtp/load.js --help`: the SMTP load generator, compiled anew, for any server on this machine. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Native } from "../native.ts";

const directory = mkdtempSync(join(tmpdir(), "smtp-load-"));
try {
  const native = await Native.compile(directory, ["smtp_load"]);
  const { status, signal } = spawnSync(native.path("smtp_load"), process.argv.slice(2), {
    stdio: "inherit",
  });
  if (signal !== null) process.stderr.write(`smtp_load: ended by ${signal}\n`);
  process.exitCode = status ?? 1;
} catch (error) {
  process.stderr.write(`load: ${(error as Error).message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
