import t from "tap";
import fc from "fast-check";
import { fromSource, Skip, skipFor } from "../cli/import/failures.ts";
import { asMbox } from "../cli/import/maildir-message.ts";
import {
  folderPath,
  inOrderOfDelivery,
  keywordsOf,
  mboxFlags,
  readKeywordLetters,
  readMessageName,
} from "../cli/import/maildir-name.ts";
import { decide, formatMark, originOf, parseMark } from "../cli/import/mark.ts";
import { MessageCounter, MessageCutter, type Piece } from "../cli/import/messages.ts";
import { isDotlock, isIndex } from "../cli/import/names.ts";
import { digestOf, PartTable } from "../cli/import/part-table.ts";
import { PART_BYTES_MIN, partsOf } from "../cli/import/parts.ts";
import { epochText } from "../cli/import/times.ts";
import { ChannelError } from "../fs/hints/channel.ts";
import { HintError } from "../fs/hints/client.ts";

t.test("a name in a maildir tells time, order and flags", async (t) => {
  t.match(readMessageName("1204680122.M27c448P2.host,S=1234:2,FS"), {
    seconds: 1204680122,
    microseconds: 27,
    flags: "FS",
  });
  t.match(readMessageName("1204680122.host"), { seconds: 1204680122, flags: "" });
  t.match(readMessageName("1204680122.host:1,x"), { flags: "" });
  t.match(readMessageName("strange"), { seconds: undefined, microseconds: 0, flags: "" });
  t.match(readMessageName("99999999999.host"), { seconds: undefined });
  const names = ["20.M5.a", "20.M10.a", "3.M9.a", "20.M5.b", "x"].map(readMessageName);
  t.strictSame(
    names.sort(inOrderOfDelivery).map(({ name }) => name),
    ["x", "3.M9.a", "20.M5.a", "20.M5.b", "20.M10.a"],
  );
});

t.test("flags become what mbox readers call them", async (t) => {
  t.strictSame(mboxFlags("DFRST", true), { status: "RO", xStatus: "AFTD" });
  t.strictSame(mboxFlags("", true), { status: "O", xStatus: "" });
  t.strictSame(mboxFlags("", false), { status: "", xStatus: "" });
  const letters = readKeywordLetters("0 $Forwarded\n1 Junk\nx y\n26 none\n");
  t.strictSame(keywordsOf("Sbaac", letters), ["Junk", "$Forwarded"]);
});

t.test("subfolders get a path in which no name is a file and a directory", async (t) => {
  const all = new Set([".A", ".A.B", ".X.Y", ".A.B.C.D"]);
  t.equal(folderPath(".A", all), "A");
  t.equal(folderPath(".A.B", all), "A.folders/B");
  t.equal(folderPath(".X.Y", all), "X/Y");
  t.equal(folderPath(".A.B.C.D", all), "A.folders/B.folders/C/D");
  t.equal(folderPath(".A..B", all), undefined);
  t.equal(folderPath(".", all), undefined);
});

function mbox(bytes: string, more: object = {}): string {
  const none = { status: "", xStatus: "", keywords: [], mailboxKeywords: [] };
  const message = { ...none, time: new Date(0), ...more };
  return Buffer.concat(asMbox({ ...message, bytes: Buffer.from(bytes, "latin1") })).toString(
    "latin1",
  );
}

t.test("a message of a maildir keeps its fields and is quoted as mboxrd", async (t) => {
  const room = " ".repeat(192);
  t.equal(
    mbox(
      "Return-Path: <a@b>\r\nDelivered-To: c\r\nStatus: RO\r\nX-UID: 7\r\nSubject: one\r\n two\r\n\r\n" +
        "From here\r\n>From there\r\nend",
      { status: "O", xStatus: "F" },
    ),
    "From a@b Thu Jan  1 00:00:00 1970\nStatus: O\nX-Status: F\n" +
      "Return-Path: <a@b>\nDelivered-To: c\nSubject: one\n two\nContent-Length: 28\n" +
      `X-Keywords: ${room}\n\n>From here\n>>From there\nend\n\n`,
  );
  const head = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n";
  t.equal(
    mbox("From x y\nA: b\n", { keywords: ["Junk", "$x"] }),
    `${head}>From x y\nA: b\nContent-Length: 0\nX-Keywords: ${"Junk $x".padEnd(192)}\n\n\n`,
  );
  t.equal(
    mbox("no header\n\nbody\n"),
    `${head}Content-Length: 16\nX-Keywords: ${room}\n\nno header\n\nbody\n\n`,
  );
  t.match(
    mbox("A: b\n\nc\n", { status: "O", mailboxKeywords: ["Junk", "$x"] }),
    `${head}X-IMAPbase: 1 0000000000 Junk $x\nStatus: O\nA: b\nContent-Length: 2\n`,
  );
  t.equal(mbox(""), `${head}Content-Length: 0\nX-Keywords: ${room}\n\n\n`);
  t.equal(mbox("\nb"), `${head}Content-Length: 2\nX-Keywords: ${room}\n\nb\n\n`);
});

t.test("what is there already is replaced only as long as nothing can be lost", async (t) => {
  const old = { size: 10n, mtimeNs: 5n };
  const grown = { size: 20n, mtimeNs: 6n };
  const used = { size: 15n, mtimeNs: 9n };
  const origin = originOf("a/b");
  const mark = { source: old, target: old, origin };
  t.equal(decide(old, old, undefined, origin), "done");
  t.equal(decide(grown, old, undefined, origin), "extend");
  t.equal(decide(old, used, mark, origin), "done", "the source is as it was when it was taken");
  t.equal(decide(grown, old, mark, origin), "replace");
  t.equal(decide(grown, used, mark, origin), "extend");
  for (const mailbox of [mark, { source: old, target: grown, origin }]) {
    t.strictSame(parseMark(formatMark(mailbox)), mailbox);
  }
  const before1970 = { source: { size: 0n, mtimeNs: -5n }, target: old, origin: undefined };
  t.strictSame(parseMark(formatMark(before1970)), before1970);
  t.equal(formatMark(before1970).toString(), "1 0 -5 10 5", "as earlier versions wrote it");
  const wrong = ["", "1 2 3", "2 1 1 1 1", "1 1 1 1 1 1", "1 x 1 1 1", `1 1 1 1 1 ${origin}`];
  for (const text of wrong) {
    t.equal(parseMark(Buffer.from(text)), undefined);
  }
});

t.test("a mailbox that has come from another source is neither done nor replaced", async (t) => {
  const state = { size: 10n, mtimeNs: 5n };
  const grown = { size: 20n, mtimeNs: 6n };
  const mark = { source: state, target: state, origin: originOf("A") };
  for (const source of [state, grown]) {
    t.equal(decide(source, state, mark, originOf(".A")), "foreign");
    t.not(decide(source, state, { ...mark, origin: undefined }, originOf(".A")), "foreign");
    t.not(decide(source, state, mark, undefined), "foreign");
  }
});

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

t.test("an error ends the import only if the next file would meet it as well", async (t) => {
  for (const code of ["ESPIPE", "EACCES", "EINVAL", "ENAMETOOLONG", "Unknown system error -117"]) {
    t.match(skipFor(systemError(code)), { reason: "failed" }, code);
  }
  t.match(skipFor(new HintError("EINVAL", "badRange", undefined, "a range")), { name: "Skip" });
  const ofAll = [
    ...["ENOSPC", "EDQUOT", "EIO", "EROFS", "ENOTCONN", "ENODEV", "ESHUTDOWN"].map(systemError),
    systemError("Unknown system error -122"),
    new ChannelError("EOF", true, "the conversation broke off"),
    new HintError("ENOSPC", "storeFull", undefined, "the store is full"),
  ];
  for (const error of ofAll) t.throws(() => skipFor(error), error, error.message);
  await t.rejects(
    fromSource(() => Promise.reject(systemError("EIO"))),
    { name: "Skip" },
  );
});

t.test(
  "a fault of this program and an interruption are no reason to leave a file out",
  async (t) => {
    const faults = [
      new TypeError("x is undefined"),
      Object.assign(new TypeError("argument"), { code: "ERR_INVALID_ARG_TYPE" }),
      AbortSignal.abort().reason as Error,
      Object.assign(new Error("aborted"), { name: "AbortError", code: "ABORT_ERR" }),
    ];
    for (const error of faults) {
      t.throws(() => skipFor(error), error);
      await t.rejects(
        fromSource(() => {
          throw error;
        }),
        error,
      );
    }
    const skip = new Skip("busy", "changes");
    t.equal(skipFor(skip), skip);
  },
);

t.test("names that are not mail", async (t) => {
  const names = new Set(["bob", "bob.lock", "x.lock"]);
  t.ok(isDotlock("bob.lock", names));
  t.notOk(isDotlock("x.lock", names), "there is no x");
  for (const name of [".imap", "dovecot.index", "dovecot.index.cache", "dovecot-uidvalidity.4f"]) {
    t.ok(isIndex(name), name);
  }
  for (const name of ["dovecot", "subscriptions", "imap", "bob", "dovecot.sieve"]) {
    t.notOk(isIndex(name), name);
  }
});

/** Cut by a regular expression: the model. */
function cutWhole(text: string): string[] {
  return text === "" ? [] : text.split(/(?<=\n\n)(?=From )/);
}

const mboxText = fc
  .array(fc.constantFrom("From a\n", "\n", "\n\n", "From ", "F", "x\n", "rom b", "long line\n"), {
    maxLength: 30,
  })
  .map((parts) => parts.join(""))
  // Whether one empty line in front of everything is enough is nobody's concern.
  .filter((text) => !text.startsWith("\nFrom "));

t.test("however a mailbox is cut into chunks, its messages are the same", async (t) => {
  fc.assert(
    fc.property(mboxText, fc.array(fc.integer({ min: 1, max: 9 })), (text, lengths) => {
      const whole = Buffer.from(text);
      const cutter = new MessageCutter();
      const counter = new MessageCounter();
      const pieces: Piece[] = [];
      for (let at = 0, index = 0; at < whole.length; index++) {
        const length = lengths[index] ?? 5;
        const chunk = whole.subarray(at, at + length);
        at += length;
        cutter.take(chunk, pieces);
        counter.take(chunk);
      }
      cutter.end(pieces);
      const found = pieces.map(({ bytes }) => bytes.toString());
      const wanted = cutWhole(text);
      const messages = wanted.filter((piece) => piece.startsWith("From "));
      return (
        JSON.stringify(found) === JSON.stringify(wanted) &&
        pieces.every(
          ({ bytes, isMessage }) => isMessage === bytes.toString().startsWith("From "),
        ) &&
        counter.count === messages.length
      );
    }),
    { numRuns: 3000 },
  );
  t.pass();
});

t.test("a message beyond the limit is handed on in pieces and no byte is lost", async (t) => {
  const text = `From a\n\n${"x".repeat(100)}\n\nFrom b\n\nshort\n\n`;
  const cutter = new MessageCutter(40);
  const pieces: Piece[] = [];
  for (let at = 0; at < text.length; at += 7) {
    cutter.take(Buffer.from(text.slice(at, at + 7)), pieces);
  }
  cutter.end(pieces);
  t.equal(pieces.map(({ bytes }) => bytes.toString()).join(""), text);
  t.strictSame(
    pieces.filter(({ isMessage }) => isMessage).map(({ bytes }) => bytes.toString()),
    ["From b\n\nshort\n\n"],
  );
});

t.test(
  "the parts of a message are its body and the header lines that are nobody's own",
  async (t) => {
    const own = "From a b\nReturn-Path: <x>\nDelivered-To: me\n\tcontinued\n";
    const common = `Received: ${"r".repeat(300)}\nSubject: ${"s".repeat(300)}\n folded\n`;
    const body = "body\n".repeat(200);
    const text = `${own}${common}Status: RO\nX-UID: 5\n\n${body}\n`;
    const parts = partsOf(Buffer.from(text)).map(({ start, end }) => text.slice(start, end));
    t.strictSame(parts, [common, body]);
    const two = `From a\n${common}X-UID: 5\n${common}Status: O\nA: b\n\n`;
    const found = partsOf(Buffer.from(two)).map(({ start, end }) => two.slice(start, end));
    t.strictSame(found, [common, common]);
    t.strictSame(partsOf(Buffer.from("From a b\nA: b\n\nshort\n\n")), []);
    t.strictSame(partsOf(Buffer.from("From a b\n")), []);
    t.strictSame(partsOf(Buffer.from("From a b")), []);
    t.ok(PART_BYTES_MIN > 100);
  },
);

t.test("the table of parts forgets when it is full, and is never wrong about where", async (t) => {
  const table = new PartTable(8192);
  const bytes = (index: number): Buffer => Buffer.from(`part ${index}`);
  const count = 40_000;
  for (let index = 0; index < count; index++) {
    table.set(digestOf(bytes(index)), { file: index % 7, offset: index * 1000 });
  }
  t.equal(table.capacity, 8192);
  let known = 0;
  for (let index = 0; index < count; index++) {
    const place = table.find(digestOf(bytes(index)));
    if (place === undefined) continue;
    known++;
    if (place.file !== index % 7 || place.offset !== index * 1000) t.fail(`part ${index}`);
  }
  t.ok(known > 8000 && known <= 8192, `${known} are known`);
  t.equal(table.find(digestOf(bytes(-1))), undefined);
  const large = new PartTable();
  for (let index = 0; index < count; index++) {
    large.set(digestOf(bytes(index)), { file: 0, offset: index });
  }
  for (let index = 0; index < count; index++) {
    if (large.find(digestOf(bytes(index)))?.offset !== index) t.fail(`part ${index}`);
  }
  large.set(digestOf(bytes(5)), { file: 1, offset: 1 });
  t.strictSame(large.find(digestOf(bytes(5))), { file: 1, offset: 1 });
});

t.test("times before and after 1970 as date(1) reads them", async (t) => {
  t.equal(epochText(1_600_000_000_123_456_789n), "@1600000000.123456789");
  t.equal(epochText(-1n), "@-1.999999999");
  t.equal(epochText(0n), "@0.000000000");
});
