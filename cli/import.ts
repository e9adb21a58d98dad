/** `onespool import`: an existing tree of mailboxes comes into a spool. */
import { lstat, realpath, stat } from "node:fs/promises";
import { Command } from "commander";
import { HintError } from "../fs/hints/client.ts";
import { about, CommandFailure, EXIT_FAILED, reasonOf, UsageFailure } from "./failure.ts";
import type { ImportContext, ImportOptions } from "./import/context.ts";
import { join, textOf } from "./import/names.ts";
import { Report } from "./import/report.ts";
import { Sharing } from "./import/sharing.ts";
import { openTarget, type Target } from "./import/target.ts";
import { TemporaryDirectory } from "./import/temporary.ts";
import { Walk } from "./import/walk.ts";
import { Progress } from "./progress.ts";
import { withHints } from "./spool-paths.ts";

const help = `
DIR is what is to come in: mbox files, folders, maildirs, at any depth. TARGET is a
mounted spool, a directory in one, or a store that nothing serves, which is then mounted for
the time. Files come in as they are, byte by byte, with owners, modes, times (to the nanosecond),
extended attributes, symbolic and hard links. A maildir becomes one mbox file of its name.

Each mailbox is read under the usual locks and has its name in the spool only when it is
whole and on stable storage. Running the command again goes on where it ended and takes what has changed in DIR
since. A mailbox that has changed in the spool is never overwritten unless DIR has all that is in it.

--share (root only) stores a message once that stands in several of the mailboxes. It
compares mailboxes of different owners, which nothing else here does.

Exit codes: 0 all is there; 1 something was not taken, as the lines on stderr say.
docs/IMPORT.md tells how to move a mail server, and how to move out again (cp -a).`;

/** Wrong bytes in an argument are lost before we see them. */
const REPLACEMENT_CHARACTER = "\ufffd";
const LOCK_SECONDS_DEFAULT = 30;

interface Flags {
  readonly share?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly indexes?: boolean;
  readonly create?: boolean;
  readonly lockWait: number;
}

function seconds(value: string): number {
  const number = Number(value);
  if (/^\d{1,5}$/.test(value)) return number;
  throw new UsageFailure(`--lock-wait: ${value}: not a number of seconds`);
}

async function sourceDirectory(given: string): Promise<string> {
  if (given.includes(REPLACEMENT_CHARACTER)) throw new UsageFailure(`${given}: not UTF-8`);
  return about(given, async () => {
    if (!(await stat(given)).isDirectory()) throw new CommandFailure(`${given}: not a directory`);
    return realpath(given);
  });
}

/** The first signal ends the import in good order, a second one at once. */
function listenForSignals(abort: AbortController): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (abort.signal.aborted) process.exit(EXIT_FAILED);
      abort.abort();
    });
  }
}

function byteString(path: string): string {
  return Buffer.from(path, "utf8").toString("latin1");
}

async function walk(source: string, target: Target, flags: Flags, report: Report): Promise<void> {
  const abort = new AbortController();
  listenForSignals(abort);
  const progress = new Progress();
  const options: ImportOptions = {
    isDry: flags.dryRun === true,
    isLearning: false,
    withIndexes: flags.indexes === true,
    lockWaitMsMax: flags.lockWait * 1000,
  };
  const directory = byteString(target.directory);
  const hintTarget = byteString(target.path);
  await withHints(target.mountpoint, async (client) => {
    let sharing: Sharing | undefined;
    const { dev: device } = await lstat(target.mountpoint, { bigint: true });
    const temporaries = options.isDry
      ? undefined
      : await TemporaryDirectory.open(directory, device);
    if (flags.share === true && temporaries !== undefined) {
      const temporary = await temporaries.make();
      const scratch = { temporary, hintPath: join(hintTarget, temporary.name) };
      sharing = new Sharing(client, report, scratch);
    }
    const context: ImportContext = {
      source: byteString(source),
      target: directory,
      hintTarget,
      client,
      sharing,
      temporaries,
      device,
      options,
      report,
      progress,
      signal: abort.signal,
      tell: (path, text) => {
        progress.clear();
        process.stderr.write(`onespool: ${textOf(join(byteString(source), path))}: ${text}\n`);
      },
    };
    try {
      if (sharing !== undefined) await new Walk(learning(context)).run();
      await new Walk(context).run();
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      report.interrupted = true;
    } finally {
      progress.clear();
      await sharing?.end().catch(() => undefined);
      await temporaries?.end().catch(() => undefined);
    }
  });
}

/** Wherever they stand in the order of names, the mailboxes of earlier runs are known before the first is taken. */
function learning(context: ImportContext): ImportContext {
  const options = { ...context.options, isDry: true, isLearning: true };
  return { ...context, options, report: new Report(), tell: () => undefined };
}

function fail(target: string, error: unknown): never {
  if (error instanceof CommandFailure || error instanceof HintError) throw error;
  const { code } = error as NodeJS.ErrnoException;
  // A fault of this program: its stack is what helps.
  if (code === undefined) throw error;
  throw new CommandFailure(`${target}: ${reasonOf(error)}`, EXIT_FAILED, { cause: error });
}

async function importInto(sourceGiven: string, targetGiven: string, flags: Flags): Promise<void> {
  if (flags.share === true && process.getuid?.() !== 0) {
    throw new UsageFailure("--share: only root may compare mailboxes of different owners");
  }
  const source = await sourceDirectory(sourceGiven);
  const isDry = flags.dryRun === true;
  const mayCreate = flags.create === true;
  const target = await openTarget(targetGiven, source, { mayCreate, isDry });
  const report = new Report();
  let failure: unknown;
  try {
    await walk(source, target, flags, report);
  } catch (error) {
    failure = error;
  }
  try {
    await target.end();
  } catch (error) {
    // Often it is only what the first one led to.
    failure ??= error;
  }
  const text = flags.json === true ? report.asJson() : report.asText(isDry, flags.share === true);
  process.stdout.write(text);
  if (failure !== undefined) fail(targetGiven, failure);
  if (report.interrupted) {
    throw new CommandFailure("interrupted; the same command goes on from here");
  }
  if (report.problems > 0) process.exitCode = EXIT_FAILED;
}

export function importCommand(): Command {
  return new Command("import")
    .description("bring an existing tree of mailboxes into a spool")
    .argument("<dir>", "the tree: mbox files, folders, maildirs")
    .argument("<target>", "mount point, directory in a mount, or store")
    .option("--share", "store once what stands in several of the mailboxes (root)")
    .option("-n, --dry-run", "say what would be done")
    .option("--json", "print JSON")
    .option("--create", "make the store if it is missing")
    .option("--indexes", "take Dovecot's index files along")
    .option("--lock-wait <seconds>", "for a locked mailbox", seconds, LOCK_SECONDS_DEFAULT)
    .addHelpText("after", help)
    .action(importInto);
}
