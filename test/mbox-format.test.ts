import t from "tap";
import fc from "fast-check";
import { asctime, formatPrivate, formatShared } from "../fs/mbox/format.ts";
import { KEYWORDS_ROOM } from "../fs/mbox/header.ts";

const blanks = " ".repeat(KEYWORDS_ROOM);
const shared = (text: string): string =>
  formatShared(Buffer.from(text, "latin1")).toString("latin1");

t.test("a message gets a Content-Length and room for keywords behind its header", async (t) => {
  t.equal(
    shared("Subject: hello\nTo: a@example.org\n\nHi\nthere\n"),
    `Subject: hello\nTo: a@example.org\nContent-Length: 9\nX-Keywords: ${blanks}\n\nHi\nthere\n\n`,
  );
});

t.test("lines end in LF, and a last line without an end gets one", async (t) => {
  t.equal(
    shared("A: 1\r\n\r\none\r\ntwo"),
    `A: 1\nContent-Length: 8\nX-Keywords: ${blanks}\n\none\ntwo\n\n`,
  );
});

t.test("a carriage return that ends no line stays", async (t) => {
  t.match(shared("A: 1\n\nx\ry\n"), /\n\nx\ry\n\n$/);
});

t.test("every byte of the body survives", async (t) => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  const stored = formatShared(Buffer.concat([Buffer.from("A: 1\n\n"), bytes]));
  t.same(stored.subarray(-258, -2), bytes);
});

t.test("From_ lines of the body are quoted one deeper", async (t) => {
  t.equal(
    shared("A: 1\n\nFrom a\n>From b\n>>From c\nfrom d\n From e\nxFrom f\nFrom\n").split("\n\n")[1],
    ">From a\n>>From b\n>>>From c\nfrom d\n From e\nxFrom f\nFrom",
  );
});

t.test(
  "a From_ line in front of the header is quoted and the header goes on behind it",
  async (t) => {
    const text = shared("From x@y Thu Jan  1 00:00:00 1970\nSubject: s\n\nbody\n");
    t.ok(text.startsWith(">From x@y Thu Jan  1 00:00:00 1970\nSubject: s\nContent-Length: 5\n"));
    t.ok(shared(">From x\nA: 1\n\n").startsWith(">>From x\nA: 1\n"));
  },
);

t.test("the obsolete blanks before a colon go, so that From : is no From_ line", async (t) => {
  t.ok(shared("From : a@example.org\nTo\t : b\n\n").startsWith("From: a@example.org\nTo: b\n"));
});

t.test("fields that are local to a mailbox are removed, whatever their case", async (t) => {
  const text = shared(
    "STATUS: RO\nX-status: A\nx-uid: 4\nX-IMAP: 1 2\nX-IMAPbase: 1 2\nx-keywords: a\n" +
      " folded too\nCoNtEnT-LeNgTh : 99999\nReturn-Path: <evil@example.org>\nx-original-to: x\n" +
      "Delivered-To: x\nSubject: kept\nX-Status-Note: kept\n\nStatus: of the body\n",
  );
  t.equal(
    text,
    "Subject: kept\nX-Status-Note: kept\nContent-Length: 20\n" +
      `X-Keywords: ${blanks}\n\nStatus: of the body\n\n`,
  );
});

t.test("a line that cannot be in a header starts the body", async (t) => {
  t.equal(
    shared("A: 1\nno field\nFrom x\n"),
    `A: 1\nContent-Length: 17\nX-Keywords: ${blanks}\n\nno field\n>From x\n\n`,
  );
});

t.test("a first line that starts with a blank cannot continue the private fields", async (t) => {
  t.ok(shared(" continued\n\nx\n").startsWith("Content-Length: 14\n"));
});

t.test("an empty message is a message with an empty body", async (t) => {
  t.equal(shared(""), `Content-Length: 0\nX-Keywords: ${blanks}\n\n\n`);
  t.equal(shared("A: 1\n\n"), `A: 1\nContent-Length: 0\nX-Keywords: ${blanks}\n\n\n`);
  t.equal(shared("A: 1"), `A: 1\nContent-Length: 0\nX-Keywords: ${blanks}\n\n\n`);
});

const time = new Date(Date.UTC(2026, 1, 3, 4, 5, 6));

t.test("the date of the From_ line is asctime in UTC", async (t) => {
  t.equal(asctime(time), "Tue Feb  3 04:05:06 2026");
  t.equal(asctime(new Date(0)), "Thu Jan  1 00:00:00 1970");
});

t.test("private bytes are the From_ line, Return-Path and Delivered-To", async (t) => {
  t.equal(
    formatPrivate({ sender: "a@example.org", time, deliveredTo: "bob" }).toString(),
    "From a@example.org Tue Feb  3 04:05:06 2026\nReturn-Path: <a@example.org>\nDelivered-To: bob\n",
  );
  t.equal(
    formatPrivate({ sender: "é@example.org", time, originalTo: "b", deliveredTo: "c" }).toString(),
    "From é@example.org Tue Feb  3 04:05:06 2026\nReturn-Path: <é@example.org>\nX-Original-To: b\nDelivered-To: c\n",
  );
});

t.test("the null sender is MAILER-DAEMON and a blank in a sender is no blank", async (t) => {
  t.equal(
    formatPrivate({ sender: "", time, deliveredTo: "b" }).toString(),
    "From MAILER-DAEMON Tue Feb  3 04:05:06 2026\nReturn-Path: <>\nDelivered-To: b\n",
  );
  t.match(
    formatPrivate({ sender: '"a b"@example.org', time, deliveredTo: "b" }).toString(),
    /^From "a_b"@example\.org Tue .*\nReturn-Path: <"a b"@example\.org>\n/,
  );
});

t.test("an address with a line end is refused", async (t) => {
  t.throws(() => formatPrivate({ sender: "a\nStatus: RO", time, deliveredTo: "b" }));
  t.throws(() => formatPrivate({ sender: "", time, deliveredTo: "b\r" }));
});

/** What a reader of mboxrd does, by Content-Length and by From_ lines: both must find one message. */
t.test("a reader finds exactly one message and its body again", async (t) => {
  const line = fc.oneof(
    fc.constantFrom("From ", ">From ", ">>From x", "From x@y Thu Jan  1 00:00:00 1970", "", " "),
    fc.constantFrom("Content-Length: 3", "A: b", "\tfolded", "From : c", "From: d", "\0\xff"),
    fc.string({ maxLength: 20 }).map((text) => text.replaceAll(/[\r\n]/g, "")),
  );
  const property = fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), (lines, crlf) => {
    const message = Buffer.from(lines.join(crlf ? "\r\n" : "\n"), "utf8");
    const stored = Buffer.concat([
      formatPrivate({ sender: "a@example.org", time, deliveredTo: "b" }),
      formatShared(message),
    ]).toString("latin1");
    const separators = stored.match(/(^|\n)From /g) ?? [];
    const header = stored.slice(0, stored.indexOf("\n\n") + 2);
    const lengths = [...header.matchAll(/^Content-Length: (\d+)$/gm)].map((match) => +match[1]!);
    const body = stored.slice(header.length, -1);
    const text = message.toString("latin1").replaceAll("\r\n", "\n");
    const unquoted = body.replaceAll(/^>(>*From )/gm, "$1");
    return (
      separators.length === 1 &&
      lengths.length === 1 &&
      lengths[0] === body.length &&
      stored.endsWith("\n") &&
      (unquoted === "" || text.endsWith(unquoted) || `${text}\n`.endsWith(unquoted))
    );
  });
  const seed = Number(process.env["FC_SEED"] ?? Date.now() % 2 ** 31);
  t.comment(`repeat: FC_SEED=${seed} node dist/test/mbox-format.test.js`);
  t.doesNotThrow(() => fc.assert(property, { seed, numRuns: 2000 }));
});
