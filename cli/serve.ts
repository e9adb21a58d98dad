/** `onespool serve`: the mail server, in the foreground. */
import { mkdirSync } from "node:fs";
import { Command } from "commander";
import { CommandFailure } from "./failure.ts";
import { mountAt, readMounts } from "./mountinfo.ts";

const help = `
Receives mail by SMTP and LMTP for its own domains and puts it into the mailboxes of a
spool that it mounts itself. Without --config it runs on an embedded default, for a first look:
store ./spool-store, mount ./spool, SMTP on 127.0.0.1:2525, LMTP on 127.0.0.1:2524,
domain example.test, users user1 to user20, metrics on 127.0.0.1:9525. What a configuration may
say is in docs/CONFIG.md; onespool check-config FILE checks one.

It prints what it mounted and where it listens, and then serves. It never relays: mail for
other domains is refused.

Signals:
  SIGHUP            read the configuration, certificates and users again, open the log anew
  SIGTERM, SIGINT   stop listening, let sessions end for up to 30 seconds, unmount, close the
                    store, end; a second one ends at once

Exit codes: 0 ended as it was told to; 1 could not start, was ended at once, or the store
was not closed cleanly; 2 wrong usage. The configuration being wrong is 1.`;

interface Flags {
  readonly config?: string;
}

/** The lines of an error in the configuration, the last of them as the failure. */
function failWith(message: string, exitCode?: number): never {
  const lines = message.split("\n");
  for (const line of lines.slice(0, -1)) process.stderr.write(`onespool: ${line}\n`);
  throw new CommandFailure(lines.at(-1) ?? "", exitCode);
}

/** For the embedded default only. A dead mount, which the spool replaces, is not touched. */
function makeMountpoint(mountpoint: string): void {
  if (mountAt(readMounts(), mountpoint) === undefined) mkdirSync(mountpoint, { recursive: true });
}

async function serve({ config: file }: Flags): Promise<void> {
  // Only this command needs them: the others start faster without.
  const { readConfig } = await import("../server/config/load.ts");
  const { defaultConfig } = await import("../server/config/defaults.ts");
  const { ConfigError } = await import("../server/config/problems.ts");
  const { readTls } = await import("../server/config/tls.ts");
  const { pendingAge } = await import("../server/delivery/pending-age.ts");
  const { StartFailure } = await import("../server/supervisor/start-failure.ts");
  const { supervise } = await import("../server/supervisor/supervisor.ts");
  const isRoot = process.getuid?.() === 0;
  const loadConfig = () => {
    if (file === undefined) return defaultConfig(process.cwd(), isRoot);
    const { config, warnings } = readConfig(file, isRoot);
    for (const { place, text } of warnings) {
      process.stderr.write(`onespool: warning: ${place}: ${text}\n`);
    }
    return config;
  };
  try {
    if (file === undefined) makeMountpoint(loadConfig().spool.mount);
    process.exitCode = await supervise({
      loadConfig,
      readTls,
      pendingOf: pendingAge,
      onReady: (lines) => process.stdout.write(`${lines.join("\n")}\n`),
    });
  } catch (error) {
    if (error instanceof ConfigError) failWith(error.message);
    if (error instanceof StartFailure) failWith(error.message, error.exitCode);
    throw error;
  }
}

export function serveCommand(): Command {
  return new Command("serve")
    .description("receive mail by SMTP and LMTP into a spool")
    .option("-c, --config <file>", "the configuration; default: the embedded one")
    .addHelpText("after", help)
    .action(serve);
}
