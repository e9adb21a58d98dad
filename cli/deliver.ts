/** `onespool deliver`: one message into mailboxes of one mount, all or none, durable when it returns. */
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { Command } from "commander";
import type { ClientShared, Delivered, HintClient } from "../fs/hints/client.ts";
import { FILES_MAX } from "../fs/hints/limits.ts";
import { formatPrivate, formatShared } from "../fs/mbox/format.ts";
import { about, CommandFailure, UsageFailure } from "./failure.ts";
import {
  hasControlCharacter,
  MESSAGE_BYTES_MAX,
  readMessage,
  senderOf,
  withoutFromLine,
} from "./message-input.ts";
import { bytes, grouped } from "./numbers.ts";
import { Progress } from "./progress.ts";
import { findPlace, type Place, withHints } from "./spool-paths.ts";

/** A longer message is written in pieces of this length before it is delivered. */
const PIECE_LENGTH = 8 * 1024 * 1024;

const help = `
FILE holds one message (RFC 5322); - reads it from standard input. One From_ line in front
of it is dropped. The message is stored as mboxrd: its headers and body once for all mailboxes, the From_ line, Return-Path and Delivered-To
for each. A mailbox that is missing is created with mode 0600 and belongs to the caller.
All mailboxes get the message or none does; it is on stable storage when the command
returns. A mailbox that another program has locked gets it when the lock is released.`;

/** What Node makes of bytes in an argument that are not UTF-8: the name behind it is lost. */
const REPLACEMENT_CHARACTER = "\ufffd";

function checkName(mailbox: string): void {
  if (hasControlCharacter(mailbox)) {
    throw new UsageFailure(`${JSON.stringify(mailbox)}: a control character in a mailbox name`);
  }
  if (mailbox.includes(REPLACEMENT_CHARACTER)) {
    throw new UsageFailure(`${mailbox}: not UTF-8 (docs/HINTS.md: path64 takes any name)`);
  }
}

/** "x/" is the directory x and never a file to be made; the paths that requests name do not tell. */
async function checkFile(mailbox: string, place: Place): Promise<void> {
  if (place.path !== "" && !/\/\.{0,2}$/.test(mailbox)) return;
  await about(mailbox, () => stat(mailbox));
  throw new CommandFailure(`${mailbox}: is a directory`);
}

/** Also checks what the file system could not tell from a missing file or would tell less well. */
async function findMailboxes(mailboxes: readonly string[]): Promise<readonly Place[]> {
  if (mailboxes.length > FILES_MAX) {
    throw new UsageFailure(
      `${grouped(mailboxes.length)} mailboxes: one delivery names at most ${grouped(FILES_MAX)}`,
    );
  }
  const progress = new Progress();
  const places: Place[] = [];
  for (const mailbox of mailboxes) {
    checkName(mailbox);
    progress.show(`looking for mailboxes: ${grouped(places.length)} of ${mailboxes.length}`);
    const place = await findPlace(mailbox);
    if (place === undefined) throw new CommandFailure(`${mailbox}: not in a mounted spool`);
    await checkFile(mailbox, place);
    if (place.device !== (places[0] ?? place).device) {
      throw new CommandFailure(`${mailbox}: not in the same mount as ${mailboxes[0]}`);
    }
    places.push(place);
  }
  progress.clear();
  return places;
}

async function sharedPieces(client: HintClient, shared: Buffer): Promise<readonly ClientShared[]> {
  if (shared.length <= PIECE_LENGTH) return [{ bytes: shared }];
  const progress = new Progress();
  const pieces: ClientShared[] = [];
  for (let at = 0; at < shared.length; at += PIECE_LENGTH) {
    progress.show(`writing the message: ${bytes(at)} of ${bytes(shared.length)}`);
    const [unit] = await client.write([shared.subarray(at, at + PIECE_LENGTH)]);
    pieces.push({ unit: unit! });
  }
  progress.clear();
  return pieces;
}

function outcome({ delivered, pending }: Delivered): string {
  const waiting = pending === 0 ? "" : `; ${grouped(pending)} of them will show it when unlocked`;
  return `delivered to ${grouped(delivered)} ${delivered === 1 ? "mailbox" : "mailboxes"}${waiting}`;
}

async function deliver(
  file: string,
  mailboxes: readonly string[],
  options: { sender?: string },
): Promise<void> {
  if (options.sender !== undefined && hasControlCharacter(options.sender)) {
    throw new UsageFailure("--sender: a control character in an address");
  }
  if (options.sender?.includes(REPLACEMENT_CHARACTER) === true) {
    throw new UsageFailure("--sender: not UTF-8");
  }
  const places = await findMailboxes(mailboxes);
  const given = withoutFromLine(await readMessage(file));
  if (given.message.length === 0) throw new CommandFailure(`${file}: empty message`);
  const shared = formatShared(given.message);
  if (shared.length > MESSAGE_BYTES_MAX) {
    const length = `${bytes(shared.length)} as it would be stored`;
    throw new CommandFailure(
      `${file}: ${length}; a message has at most ${bytes(MESSAGE_BYTES_MAX)}`,
    );
  }
  const envelope = { sender: options.sender ?? senderOf(given), time: new Date() };
  const targets = places.map(({ path }, index) => ({
    path,
    private: formatPrivate({ ...envelope, deliveredTo: basename(mailboxes[index]!) }),
    create: { mode: 0o600 },
  }));
  const delivered = await withHints(places[0]!.mountpoint, async (client) =>
    client.deliver(await sharedPieces(client, shared), targets),
  );
  process.stdout.write(`${outcome(delivered)}\n`);
}

export function deliverCommand(): Command {
  return new Command("deliver")
    .description("put one message into mailboxes of one mount, stored once")
    .argument("<file>", "the message, - for standard input")
    .argument("<mailbox...>", "mailbox files, existing or not, in one mount")
    .option(
      "-f, --sender <address>",
      'envelope sender, "" for none (default: its Return-Path, or From_ line)',
    )
    .addHelpText("after", help)
    .action(deliver);
}
