/** `onespool deliver`: one message into mailboxes of one mount, all or none, durable when it returns. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { buffer } from "node:stream/consumers";
import { Command } from "commander";
import type { ClientShared, Delivered, HintClient } from "../fs/hints/client.ts";
import { FILES_MAX, UNLINKED_BYTES_PER_SESSION_MAX } from "../fs/hints/limits.ts";
import { formatPrivate, formatShared } from "../fs/mbox/format.ts";
import { firstValue, parseMessage } from "../fs/mbox/message.ts";
import { about, CommandFailure, UsageFailure } from "./failure.ts";
import { bytes, grouped } from "./numbers.ts";
import { Progress } from "./progress.ts";
import { findPlace, type Place, withHints } from "./spool-paths.ts";

/** A longer message is written in pieces of this length before it is delivered. */
const PIECE_LENGTH = 8 * 1024 * 1024;

const help = `
FILE holds one message (RFC 5322); - reads it from standard input. It is stored as mboxrd:
its headers and body once for all mailboxes, the From_ line, Return-Path and Delivered-To
for each. A mailbox that is missing is created with mode 0600 and belongs to the caller.
All mailboxes get the message or none does; it is on stable storage when the command
returns. A mailbox that another program has locked gets it when the lock is released.`;

function hasControlCharacter(text: string): boolean {
  // eslint-disable-next-line no-control-regex
  return /[\0-\x1f\x7f]/.test(text);
}

/** The sender that the message came with, as the last server noted it; the null sender without such a note. */
export function senderOf(message: Uint8Array): string {
  const value = firstValue(parseMessage(message).fields, "return-path") ?? "";
  const address = /<([^<>]*)>/.exec(value)?.[1] ?? value;
  const text = Buffer.from(address, "latin1").toString("utf8");
  return hasControlCharacter(text) ? "" : text;
}

async function readMessage(file: string): Promise<Buffer> {
  if (file === "-") return buffer(process.stdin);
  return about(file, () => readFile(file));
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
    if (hasControlCharacter(mailbox)) {
      throw new UsageFailure(`${JSON.stringify(mailbox)}: a control character in a mailbox name`);
    }
    progress.show(`looking for mailboxes: ${grouped(places.length)} of ${mailboxes.length}`);
    const place = await findPlace(mailbox);
    if (place === undefined) throw new CommandFailure(`${mailbox}: not in a mounted spool`);
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
  const places = await findMailboxes(mailboxes);
  const message = await readMessage(file);
  const shared = formatShared(message);
  if (shared.length > UNLINKED_BYTES_PER_SESSION_MAX) {
    const limit = bytes(UNLINKED_BYTES_PER_SESSION_MAX);
    throw new CommandFailure(`${file}: ${bytes(shared.length)}; a message has at most ${limit}`);
  }
  const envelope = { sender: options.sender ?? senderOf(message), time: new Date() };
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
    .option("-f, --sender <address>", 'envelope sender, "" for none (default: its Return-Path)')
    .addHelpText("after", help)
    .action(deliver);
}
