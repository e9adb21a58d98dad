/**
 * The message that a command is given: how it is read, and what it brings along about its sender. Not here:
 * how it is stored (fs/mbox/).
 */
import { createReadStream } from "node:fs";
import { UNLINKED_BYTES_PER_SESSION_MAX } from "../fs/hints/limits.ts";
import { firstValue, parseMessage } from "../fs/mbox/message.ts";
import { about, CommandFailure } from "./failure.ts";
import { bytes } from "./numbers.ts";

/** Of the message as it is given and, behind the mount, of its stored form. */
export const MESSAGE_BYTES_MAX = UNLINKED_BYTES_PER_SESSION_MAX;

export function hasControlCharacter(text: string): boolean {
  // eslint-disable-next-line no-control-regex
  return /[\0-\x1f\x7f]/.test(text);
}

/** Reads to the end, but never more than one piece beyond the limit: standard input may have no end. */
export async function readBounded(
  input: AsyncIterable<Buffer>,
  lengthMax: number,
): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of input) {
    length += piece.length;
    if (length > lengthMax) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces, length);
}

/** "-" is standard input. */
export async function readMessage(file: string): Promise<Buffer> {
  const message = await about(file, () => {
    const input: AsyncIterable<Buffer> = file === "-" ? process.stdin : createReadStream(file);
    return readBounded(input, MESSAGE_BYTES_MAX);
  });
  if (message !== undefined) return message;
  throw new CommandFailure(`${file}: a message has at most ${bytes(MESSAGE_BYTES_MAX)}`);
}

export interface GivenMessage {
  /** Without the From_ line. */
  readonly message: Buffer;
  /** The address in the From_ line; undefined without such a line. */
  readonly fromAddress: string | undefined;
}

const LF = 0x0a;

/**
 * Takes off the one From_ line that a mailbox export and some mail servers put in front: it is of the mailbox
 * that the message was in, and the new one gets a line of its own.
 */
export function withoutFromLine(given: Buffer): GivenMessage {
  if (given.subarray(0, 5).toString("latin1") !== "From ") {
    return { message: given, fromAddress: undefined };
  }
  const lineEnd = given.indexOf(LF);
  const end = lineEnd === -1 ? given.length : lineEnd + 1;
  const word = /^From +(\S+)/.exec(given.toString("utf8", 0, end))?.[1] ?? "";
  // What is written where there is no sender, or none is known.
  const isNobody = word === "MAILER-DAEMON" || word === "-";
  return { message: given.subarray(end), fromAddress: isNobody ? "" : word };
}

/**
 * The sender that the message came with, as the last server noted it in Return-Path or in the From_ line;
 * the null sender without such a note.
 */
export function senderOf({ message, fromAddress }: GivenMessage): string {
  const noted = firstValue(parseMessage(message).fields, "return-path");
  const value = noted === undefined ? undefined : (/<([^<>]*)>/.exec(noted)?.[1] ?? noted);
  const sender =
    value === undefined ? (fromAddress ?? "") : Buffer.from(value, "latin1").toString("utf8");
  return hasControlCharacter(sender) ? "" : sender;
}
