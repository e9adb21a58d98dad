/** One mailbox from the source into the target: whether it has to be taken, and how. */
import { basename } from "node:path/posix";
import { copyXattrs, setAttributes, writeMark } from "./attributes.ts";
import type { ImportContext } from "./context.ts";
import { copyMailbox, type Copied, type Earlier } from "./copying.ts";
import { fromSource, Skip } from "./failures.ts";
import type { HeldDirectory } from "./held-directory.ts";
import { decide } from "./mark.ts";
import { join, textOf } from "./names.ts";
import type { SharedFile } from "./sharing.ts";
import { PlainSink } from "./sink.ts";
import type { MailboxSource, OpenSource } from "./source.ts";
import { openExisting, putNew, replace, type Existing } from "./target-file.ts";
import { endTemporary, type Temporary } from "./temporary.ts";

const ATTEMPTS_MAX = 3;

export const FOREIGN = "its mailbox in the spool has come from another source; left as it is";

/**
 * Throws Skip when it was not taken. `path`: in the target, its last name in `to`, which is undefined if a dry run has not
 * made it. `origin`: see Mark.
 */
export async function importMailbox(
  context: ImportContext,
  source: MailboxSource,
  to: HeldDirectory | undefined,
  path: string,
  origin: string | undefined,
): Promise<void> {
  const { report, options } = context;
  const existing = await (to && openExisting(to.at(basename(path))));
  try {
    const state = await fromSource(() => source.look());
    const decision =
      existing === undefined ? "new" : decide(state, existing.stats, existing.mark, origin);
    if (options.isLearning) {
      const isOfImport = decision === "done" || decision === "replace";
      if (isOfImport) await learnExisting(context, existing!, path);
      return;
    }
    if (decision === "foreign") throw new Skip("refused", FOREIGN);
    if (decision === "done") {
      report.unchanged++;
      return;
    }
    if (options.isDry) {
      report.bytes += source.isMaildir ? 0 : Number(state.size);
      if (source.isMaildir) report.messages += Number(state.size);
    } else await take(context, { source, origin, to: to! }, path, existing, decision === "extend");
    if (decision === "new") report.taken++;
    else report.updated++;
    if (source.isMaildir) report.maildirs++;
  } finally {
    await existing?.file.close();
  }
}

/** Mailboxes of an earlier run are mailboxes of this import: what comes now may be shared with them. */
async function learnExisting(
  { sharing, hintTarget, progress }: ImportContext,
  { file, stats }: Existing,
  path: string,
): Promise<void> {
  if (sharing === undefined) return;
  progress.show(`reading what is there: ${textOf(path)}`);
  await sharing.learn(file, sharing.begin(join(hintTarget, path)), Number(stats.size));
}

interface Given {
  readonly to: HeldDirectory;
  readonly source: MailboxSource;
  readonly origin: string | undefined;
}

async function take(
  context: ImportContext,
  { source, origin, to }: Given,
  path: string,
  existing: Existing | undefined,
  mustBeContained: boolean,
): Promise<void> {
  const { report } = context;
  for (let attempt = 1; ; attempt++) {
    const { sharedRanges, sharedBytes } = report;
    const opened = await fromSource(() => source.open());
    try {
      const copied = await takeOnce(
        context,
        { ...opened, origin, to },
        path,
        existing,
        mustBeContained,
      );
      if (copied !== undefined) {
        report.messages += copied.messages;
        report.bytes += copied.size;
        return;
      }
    } catch (error) {
      const isBusy = error instanceof Skip && error.reason === "busy";
      if (!isBusy || attempt === ATTEMPTS_MAX) throw error;
    } finally {
      await opened.close();
    }
    // Of what was thrown away.
    Object.assign(report, { sharedRanges, sharedBytes });
    if (attempt === ATTEMPTS_MAX) throw new Skip("busy", "changes each time while it is read");
  }
}

interface OpenGiven extends OpenSource {
  readonly to: HeldDirectory;
  readonly origin: string | undefined;
}

/** Undefined when the source has changed meanwhile. */
async function takeOnce(
  context: ImportContext,
  source: OpenGiven,
  path: string,
  existing: Existing | undefined,
  mustBeContained: boolean,
): Promise<Copied | undefined> {
  const { sharing, hintTarget } = context;
  const made = await context.temporaries!.make();
  const hintPath = join(hintTarget, made.name);
  const shared = sharing?.begin(hintPath);
  let settled: string | undefined;
  try {
    const earlier: Earlier | undefined = existing && {
      file: existing.file,
      hintPath: join(hintTarget, path),
      size: Number(existing.stats.size),
      mustBeContained,
    };
    const copied = await fill(context, source, made, hintPath, earlier, shared);
    if (!(await fromSource(() => source.isUnchanged()))) return undefined;
    // Before its times are set, for it is read.
    if (sharing !== undefined && shared !== undefined && copied.commonBytes > 0) {
      await sharing.learn(made.file, shared, copied.commonBytes);
    }
    await finish(made, source);
    const target = source.to.at(basename(path));
    if (existing === undefined) await putNew(made.path, made.file, target);
    else await replace(made.path, target, existing, context.options.lockWaitMsMax);
    settled = join(hintTarget, path);
    return copied;
  } finally {
    if (shared !== undefined) sharing!.settle(shared, settled);
    await endTemporary(made);
  }
}

async function fill(
  { client, sharing, signal, report, progress }: ImportContext,
  source: OpenSource,
  { file }: Temporary,
  hintPath: string,
  earlier: Earlier | undefined,
  shared: SharedFile | undefined,
): Promise<Copied> {
  let bytes = report.bytes;
  const copied = await copyMailbox(readable(source), {
    client,
    file,
    hintPath,
    earlier,
    sinkAt: (offset) =>
      // A file with holes is no mailbox.
      sharing === undefined || shared === undefined || source.isSparse
        ? new PlainSink(file, offset, source.isSparse)
        : sharing.sink(file, shared, hintPath, offset),
    onBytes: (count) => {
      signal.throwIfAborted();
      bytes += count;
      progress.show(report.progress(bytes));
    },
  });
  return copied;
}

/** A source that cannot be read is a problem of this one mailbox. */
async function* readable(source: OpenSource): AsyncGenerator<Buffer> {
  const chunks = source.chunks()[Symbol.asyncIterator]();
  for (;;) {
    const next = await fromSource(() => chunks.next());
    if (next.done === true) return;
    yield next.value;
  }
}

/** All that has to be true of the file before it has its name, on stable storage. */
async function finish({ file }: Temporary, source: OpenGiven): Promise<void> {
  if (source.descriptor !== undefined) await copyXattrs(source.descriptor, file.fd);
  await setAttributes(file, source.attributes);
  const { size, mtimeNs } = await file.stat({ bigint: true });
  const { state, origin } = source;
  await writeMark(file.fd, { source: state, target: { size, mtimeNs }, origin });
  await file.sync();
}
