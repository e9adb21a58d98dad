/** `onespool check-config`: whether `onespool serve` would take a configuration, and what it comes to. */
import { Command } from "commander";
import { CommandFailure } from "./failure.ts";

const help = `
FILE is the configuration of onespool serve (docs/CONFIG.md). Users, aliases, certificates and accounts
that it names are looked at too; nothing is started, bound or changed. Without FILE the embedded default is
checked. Errors say where, what, and what is allowed; warnings do not fail.

Example:
  $ onespool check-config /etc/onespool.toml
  onespool: /etc/onespool.toml:7: limits.recipients_max: must be a whole number from 1 to 10000, not "many"`;

interface Flags {
  readonly print?: boolean;
}

async function checkConfig(file: string | undefined, flags: Flags): Promise<void> {
  // Only this command and `serve` need them: the others start faster without.
  const { readConfig } = await import("../server/config/load.ts");
  const { defaultConfig } = await import("../server/config/defaults.ts");
  const { ConfigError } = await import("../server/config/problems.ts");
  const isRoot = process.getuid?.() === 0;
  try {
    const { config, warnings } =
      file === undefined
        ? { config: defaultConfig(process.cwd(), isRoot), warnings: [] }
        : readConfig(file, isRoot);
    for (const { place, text } of warnings) {
      process.stderr.write(`onespool: warning: ${place}: ${text}\n`);
    }
    const verdict = `${file ?? "the embedded default"}: fine\n`;
    if (flags.print !== true) process.stdout.write(verdict);
    else {
      const { printConfig } = await import("../server/config/print.ts");
      process.stdout.write(`# ${verdict}${printConfig(config)}`);
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const lines = error.message.split("\n");
    // A failure is one line: the last of them.
    for (const line of lines.slice(0, -1)) process.stderr.write(`onespool: ${line}\n`);
    throw new CommandFailure(lines.at(-1) ?? "");
  }
}

export function checkConfigCommand(): Command {
  return new Command("check-config")
    .description("check the configuration of the mail server")
    .argument("[file]", "the configuration; default: the embedded one")
    .option("-p, --print", "also print all settings, defaults included, as a configuration")
    .addHelpText("after", help)
    .action(checkConfig);
}
