/**
 * Programs that rewrite a mailbox, as the file system sees them: a list of WRITEs and changes of size.
 * Deterministic in their seed. The file applies the matcher's pieces and checks them.
 */
import { matchWrite, type MatchWork, type MoverState, noteResize } from "../fs/moved/moved.ts";

export type Random = () => number;

/** mulberry32: [0, 1). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer in [min, max]. */
export function between(random: Random, min: number, max: number): number {
  return min + Math.floor(random() * (max - min + 1));
}

const WORDS = words();

function words(): string[] {
  const random = randomFrom(7);
  return Array.from({ length: 2000 }, () =>
    Array.from({ length: between(random, 1, 10) }, () =>
      String.fromCharCode(97 + Math.floor(random() * random() * 26)),
    ).join(""),
  );
}

export function text(random: Random, length: number): Buffer {
  let line = "";
  const lines: string[] = [];
  for (let have = 0; have < length;) {
    line += `${WORDS[between(random, 0, WORDS.length - 1)]} `;
    if (line.length < 70) continue;
    lines.push(line.trimEnd());
    have += line.length;
    line = "";
  }
  return Buffer.from(`${lines.join("\n")}\n`, "latin1").subarray(0, length);
}

function base64(random: Random, length: number): Buffer {
  const raw = Buffer.from(Array.from({ length: Math.ceil(length * 0.74) }, () => random() * 256));
  return Buffer.from(raw.toString("base64").replace(/(.{76})/g, "$1\n"), "latin1").subarray(
    0,
    length,
  );
}

/** A message with the header lines that all mail of a site has in common. */
export function message(random: Random, bodyLength: number): Buffer {
  const id = Array.from({ length: 12 }, () => between(random, 0, 35).toString(36)).join("");
  const minute = String(between(random, 10, 59));
  const header =
    `From ${WORDS[between(random, 0, 1999)]}@example.org Mon Nov  9 08:${minute}:07 2026\n` +
    `Return-Path: <list-bounces@lists.example.org>\nX-Original-To: user@example.com\n` +
    `Delivered-To: user@example.com\n` +
    `Received: from mx1.example.org (mx1.example.org [192.0.2.1])\n` +
    `\tby mail.example.com (Postfix) with ESMTPS id ${id}\n` +
    `\tfor <user@example.com>; Mon,  9 Nov 2026 08:${minute}:07 +0000 (UTC)\n` +
    `DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=mail;\n` +
    `\tbh=${base64(random, 43).toString("latin1")}=;\n\tb=${base64(random, 170).toString("latin1")}\n` +
    `Date: Mon, 9 Nov 2026 08:${minute}:01 +0000\nMessage-ID: <${id}@lists.example.org>\n` +
    `MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n` +
    `Content-Length: ${bodyLength}\nX-Keywords:${" ".repeat(192)}\n\n`;
  const body = random() < 0.3 ? base64(random, bodyLength) : text(random, bodyLength);
  return Buffer.concat([Buffer.from(header, "latin1"), body, Buffer.from("\n")]);
}

/** What a program makes of a mailbox. */
export interface Rewrite {
  readonly before: Buffer;
  readonly after: Buffer;
  /** Bytes that are in `after` and not in `before`. */
  readonly editedBytes: number;
  readonly edits: number;
  /** Messages left out, each run of neighbours once. */
  readonly expunges: number;
}

export interface RewriteOptions {
  readonly length: number;
  /** Of bodies: 0.2 to 1.8 times. */
  readonly bodyLength: number;
  /** The share of messages that go; the first one always goes if any do. */
  readonly expunge: number;
  /** Edits insert this often more than they delete: 1 always inserts, 0 always removes. */
  readonly growing: number;
}

/** Edits of 20 to 400 bytes every few thousand bytes. */
export function rewriteMailbox(random: Random, options: RewriteOptions): Rewrite {
  const old: Buffer[] = [];
  const made: Buffer[] = [];
  const counts = { editedBytes: 0, edits: 0, expunges: 0 };
  let gone = false;
  for (let length = 0; length < options.length;) {
    const body = Math.floor(options.bodyLength * (0.2 + 1.6 * random()));
    const mail = message(random, body);
    const goes = options.expunge > 0 && (length === 0 || random() < options.expunge);
    old.push(mail);
    length += mail.length;
    if (goes) {
      if (!gone) counts.expunges++;
    } else {
      made.push(...editedCopy(random, mail, options.growing, counts));
    }
    gone = goes;
  }
  return { before: Buffer.concat(old), after: Buffer.concat(made), ...counts };
}

function editedCopy(
  random: Random,
  mail: Buffer,
  growing: number,
  counts: { editedBytes: number; edits: number },
): Buffer[] {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const next = at + between(random, 2000, 6000) - (at === 0 ? 1800 : 0);
    if (next + 400 >= mail.length) break;
    parts.push(mail.subarray(at, next));
    const length = between(random, 20, 400);
    const kind = random();
    counts.edits++;
    if (kind < 0.3) {
      parts.push(text(random, length));
      counts.editedBytes += length;
      at = next + length;
    } else if (random() < growing) {
      parts.push(text(random, length));
      counts.editedBytes += length;
      at = next;
    } else {
      at = next + length;
    }
  }
  parts.push(mail.subarray(at));
  return parts;
}

export interface Totals {
  writes: number;
  writtenBytes: number;
  newBytes: number;
  pieces: number;
  work: MatchWork;
}

/** A file whose writes are matched; asserts that the pieces are right. */
export class MatchedFile {
  content: Buffer;
  size: number;
  state: MoverState | undefined;
  readonly totals: Totals = {
    writes: 0,
    writtenBytes: 0,
    newBytes: 0,
    pieces: 0,
    work: { reads: 0, bytesRead: 0, bytesSearched: 0, bytesCompared: 0 },
  };
  /** Called with the work of each write. */
  readonly onWork: (work: MatchWork, dataLength: number) => void;

  constructor(content: Buffer, onWork: (work: MatchWork, dataLength: number) => void = () => {}) {
    this.content = Buffer.alloc(content.length + (1 << 20));
    content.copy(this.content);
    this.size = content.length;
    this.onWork = onWork;
  }

  bytes(): Buffer {
    return this.content.subarray(0, this.size);
  }

  write(offset: number, data: Buffer): void {
    const { size } = this;
    const before = this.content;
    const matched = matchWrite({
      offset,
      data,
      size,
      readOld: (at, length) => {
        if (at < 0 || length <= 0 || at + length > size) throw new Error("read outside the file");
        return before.subarray(at, at + length);
      },
      state: this.state,
    });
    this.state = matched.state;
    const { totals } = this;
    let at = 0;
    for (const piece of matched.pieces) {
      if (piece.length <= 0) throw new Error("empty piece");
      const expected = data.subarray(at, at + piece.length);
      if (piece.kind === "new") {
        if (piece.offset !== at) throw new Error("a new piece from elsewhere in the data");
        totals.newBytes += piece.length;
      } else {
        if (piece.offset < 0 || piece.offset + piece.length > size) throw new Error("outside");
        const found = before.subarray(piece.offset, piece.offset + piece.length);
        if (!found.equals(expected)) throw new Error("an old piece has other bytes");
      }
      at += piece.length;
    }
    if (at !== data.length) throw new Error("the pieces do not cover the data");
    totals.writes++;
    totals.writtenBytes += data.length;
    totals.pieces += matched.pieces.length;
    for (const key of ["reads", "bytesRead", "bytesSearched", "bytesCompared"] as const) {
      totals.work[key] += matched.work[key];
    }
    this.onWork(matched.work, data.length);
    this.#grow(offset + data.length);
    data.copy(this.content, offset);
  }

  truncate(size: number): void {
    this.state = noteResize(this.state, this.size, size);
    if (size < this.size) this.content.fill(0, size, this.size);
    else this.#grow(size);
    this.size = size;
  }

  #grow(size: number): void {
    if (size > this.content.length) {
      const larger = Buffer.alloc(size * 2);
      this.content.copy(larger, 0, 0, this.size);
      this.content = larger;
    }
    this.size = Math.max(this.size, size);
  }
}

/** The first byte that differs. */
export function firstChange({ before, after }: Rewrite): number {
  let at = 0;
  while (at < after.length && before[at] === after[at]) at++;
  return at;
}

/** From the first change to the end, then the size: an expunge. */
export function moveForward(file: MatchedFile, rewrite: Rewrite, chunk: () => number): void {
  const { after } = rewrite;
  for (let at = firstChange(rewrite); at < after.length;) {
    const length = Math.min(chunk(), after.length - at);
    file.write(at, after.subarray(at, at + length));
    at += length;
  }
  file.truncate(after.length);
}

/** From the end down to the first change: a header has grown. */
export function moveBackward(file: MatchedFile, rewrite: Rewrite, chunk: () => number): void {
  const { after } = rewrite;
  const first = firstChange(rewrite);
  for (let at = after.length; at > first;) {
    const length = Math.min(chunk(), at - first);
    file.write(at - length, after.subarray(at - length, at));
    at -= length;
  }
}

/** The file is extended with zeros first. */
export function extendAndMove(
  file: MatchedFile,
  rewrite: Rewrite,
  chunk: () => number,
  byTruncate: boolean,
): void {
  if (byTruncate) file.truncate(rewrite.after.length);
  while (file.size < rewrite.after.length) {
    file.write(file.size, Buffer.alloc(Math.min(8192, rewrite.after.length - file.size)));
  }
  moveBackward(file, rewrite, chunk);
}

/**
 * An expunge as Dovecot makes it: of each message that stays, the header with one blank more behind it, then the
 * From_ line before it, then the body. Messages begin with the From_ line and end with an empty line. Returns the
 * number of messages that were moved.
 */
export function expungeAsDovecot(
  file: MatchedFile,
  mails: readonly Buffer[],
  isGone: (index: number) => boolean,
): number {
  let at = 0;
  let moved = 0;
  let hasMoved = false;
  for (const [index, mail] of mails.entries()) {
    if (isGone(index)) {
      hasMoved = true;
      continue;
    }
    if (!hasMoved) {
      at += mail.length;
      continue;
    }
    const header = mail.indexOf("\n") + 1;
    const body = mail.indexOf("\n\n") + 2;
    const grown = Buffer.concat([mail.subarray(header, body - 2), Buffer.from(" \n\n")]);
    file.write(at + header, grown);
    file.write(at, mail.subarray(0, header));
    at += header + grown.length;
    for (let from = body; from < mail.length; from += 8192) {
      const chunk = mail.subarray(from, from + 8192);
      file.write(at, chunk);
      at += chunk.length;
    }
    moved++;
  }
  file.truncate(at);
  return moved;
}
