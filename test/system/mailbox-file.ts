/** The messages of an mbox file as Onespool delivers them and Dovecot leaves them: every From_ line starts one. */
import { createHash } from "node:crypto";

/** Fields that Dovecot keeps in a mailbox. */
const DOVECOTS = /^(?:X-UID|Status|X-Status|X-Keywords|X-IMAP|X-IMAPbase|Content-Length):.*\n/gim;
/** The lines before what all recipients have alike. */
const FROM = /^From .*\n/;
const OWN = /^From .*\n(?:Return-Path: .*\n)?(?:X-Original-To: .*\n)?(?:Delivered-To: .*\n)?/;

/** Hashes leave out Dovecot's fields. */
export interface StoredMessage {
  /** Places in the file: of the From_ line, of the first header that all recipients have, of the body, of the end. */
  readonly start: number;
  readonly sharedStart: number;
  readonly bodyStart: number;
  readonly end: number;
  /** Of all. */
  readonly hash: string;
  /** Of all behind the From_ line. */
  readonly contentHash: string;
  /** Of what all recipients have alike. */
  readonly sharedHash: string;
  /** Of the body without the empty line behind it. */
  readonly bodyHash: string;
}

export function messagesOf(mailbox: Buffer): StoredMessage[] {
  const text = mailbox.toString("latin1");
  const starts = [...text.matchAll(/^From /gm)].map(({ index }) => index);
  return starts.map((start, i) => messageAt(text, start, starts[i + 1] ?? text.length));
}

/** Text is latin1: one character, one byte. */
export function hashOf(text: string): string {
  return createHash("sha256").update(text, "latin1").digest("base64");
}

function messageAt(text: string, start: number, end: number): StoredMessage {
  const bodyStart = text.indexOf("\n\n", start) + 2;
  const header = text.slice(start, bodyStart);
  const body = text.slice(bodyStart, end);
  const sharedStart = start + OWN.exec(header)![0].length;
  const contentStart = start + FROM.exec(header)![0].length;
  const hashFrom = (from: number): string =>
    hashOf(text.slice(from, bodyStart).replaceAll(DOVECOTS, "") + body);
  return {
    start,
    sharedStart,
    bodyStart,
    end,
    hash: hashFrom(start),
    contentHash: hashFrom(contentStart),
    sharedHash: hashFrom(sharedStart),
    bodyHash: hashOf(body.slice(0, -1)),
  };
}
