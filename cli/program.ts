/** The command line as a whole: its commands, and how help, usage errors and failures are printed. */
import { Command, CommanderError } from "commander";
import { InvariantError } from "../base/assert.ts";
import { VERSION } from "../base/version.ts";
import { backupCommand } from "./backup.ts";
import { checkConfigCommand } from "./check-config.ts";
import { deliverCommand } from "./deliver.ts";
import { CommandFailure, EXIT_FAILED, EXIT_USAGE, reasonOf } from "./failure.ts";
import { fsckCommand } from "./fsck.ts";
import { importCommand } from "./import.ts";
import { mountCommand } from "./mount.ts";
import { restoreCommand } from "./restore.ts";
import { reclaimCommand } from "./reclaim.ts";
import { serveCommand } from "./serve.ts";
import { statCommand } from "./stat.ts";
import { umountCommand } from "./umount.ts";
import { whoCommand } from "./who.ts";

const exitCodes = `
Exit codes: 0 done, 1 failed, 2 wrong usage; fsck: 0 clean, 4 errors are left;
backup, restore: 4 the store is damaged.`;

const commands = [
  serveCommand,
  mountCommand,
  umountCommand,
  deliverCommand,
  importCommand,
  statCommand,
  whoCommand,
  fsckCommand,
  reclaimCommand,
  backupCommand,
  restoreCommand,
  checkConfigCommand,
];

function buildProgram(): Command {
  const program = new Command("onespool")
    .description("A mailbox file system that stores a message once, however many got it")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print help for a command")
    .addHelpText("after", exitCodes);
  for (const command of commands) program.addCommand(command());
  for (const command of [program, ...program.commands]) {
    command.exitOverride();
    command.configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, "onespool: ")),
    });
  }
  return program;
}

/** Runs one command line and returns its exit code. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    await buildProgram().parseAsync(args, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    // A fault of this program: its stack is what helps.
    if (error instanceof InvariantError) throw error;
    process.stderr.write(`onespool: ${reasonOf(error)}\n`);
    return error instanceof CommandFailure ? error.exitCode : EXIT_FAILED;
  }
}
