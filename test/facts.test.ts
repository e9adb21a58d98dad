import fc from "fast-check";
import t from "tap";
import {
  factsLimits,
  FactsReader,
  type FactsLimits,
  type MessageFacts,
} from "../server/facts/facts.ts";
import { createParser, decodeFields } from "../server/facts/mailparser.ts";

/** What is read does not depend on how busy the machine is. */
const limits: FactsLimits = { ...factsLimits, workMsMax: Infinity, endMsMax: 60_000 };

async function factsOf(
  message: string | Buffer,
  { piece = 65_536, ...others }: Partial<FactsLimits> & { piece?: number } = {},
): Promise<MessageFacts> {
  const bytes = typeof message === "string" ? Buffer.from(message) : message;
  const reader = new FactsReader({ ...limits, ...others });
  for (let at = 0; at < bytes.length; at += piece)
    await reader.write(bytes.subarray(at, at + piece));
  return reader.end();
}

const plain = `Received: from a by b
Message-ID: <1.2@load.example>
From: Ann Example <ann@example.org>
To: user1@example.test
Subject: A plain
 message

Body with Subject: nothing
`;

const mixed = `From: "B, C" <b@example.org>
Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?Q?_=E4?=
Message-ID: <mixed@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary=inner

--inner

text
--inner
Content-Type: text/html; charset=iso-8859-1

<p>text
--inner--
--outer
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="=?utf-8?B?csOpc3Vtw6kucGRm?="
Content-Transfer-Encoding: base64

aGVsbG8gd29ybGQ=
--outer
Content-Type: IMAGE/PNG
Content-Disposition: inline; filename*=utf-8''%e2%82%ac.png

12345
--outer--
epilogue
`;

await t.test("a plain message is known by its header", async (t) => {
  t.strictSame(await factsOf(plain), {
    messageId: "<1.2@load.example>",
    subject: "A plain message",
    from: '"Ann Example" <ann@example.org>',
    parts: 1,
    attachments: [],
    complete: true,
  });
});

await t.test("parts and attachments are found, wherever the message is cut", async (t) => {
  const expected = {
    messageId: "<mixed@example.org>",
    subject: "Grüße ä",
    from: '"B, C" <b@example.org>',
    parts: 4,
    attachments: [
      { name: "résumé.pdf", type: "application/pdf", bytes: 11 },
      { name: "€.png", type: "image/png", bytes: 5 },
    ],
    complete: true,
  };
  for (const piece of [1, 2, 3, 7, 64, 10_000]) {
    t.strictSame(await factsOf(mixed, { piece }), expected, `in pieces of ${piece}`);
  }
});

await t.test("a message that is one attachment", async (t) => {
  const facts = await factsOf(
    "Content-Type: application/zip; name=x.zip\nContent-Transfer-Encoding: base64\n\nAAAA\nAAAA\n",
  );
  t.strictSame(facts.attachments, [{ name: "x.zip", type: "application/zip", bytes: 6 }]);
  t.equal(facts.complete, true);
});

await t.test("an attached message is one attachment", async (t) => {
  const facts = await factsOf(
    `Subject: outer\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n${plain}--b--\n`,
  );
  t.match(facts, { subject: "outer", parts: 1, complete: true });
  t.equal(facts.attachments[0]?.type, "message/rfc822");
});

await t.test("what is broken gives what could be read", async (t) => {
  t.match(await factsOf(""), { subject: undefined, parts: 1, complete: true });
  t.match(await factsOf("\n\nSubject: body\n"), { subject: undefined, parts: 1 });
  t.match(await factsOf("Subject: no end of header"), { subject: "no end of header" });
  t.match(await factsOf("no field\nSubject: s\n: x\n\n"), { subject: "s" });
  t.match(await factsOf("Content-Type: multipart/mixed\nSubject: s\n\n--x\n\nno boundary\n"), {
    subject: "s",
    attachments: [],
  });
  const cut = await factsOf(mixed.slice(0, mixed.indexOf("aGVsbG8") + 8));
  t.match(cut, { subject: "Grüße ä", attachments: [{ name: "résumé.pdf", bytes: 6 }] });
  const wrong = mixed.replace("base64", "x-unknown").replace("iso-8859-1\n", "x-none\n");
  t.match(await factsOf(wrong), { parts: 4, complete: true });
});

await t.test("charsets: unknown, wrong, raw", async (t) => {
  t.equal((await factsOf("Subject: =?x-klingon?Q?abc?= d\n\n")).subject, "abc d");
  t.equal((await factsOf("Subject: =?utf-8?B?####?=\n\n")).complete, true);
  t.equal((await factsOf("Subject: Grüße\n\n")).subject, "Grüße");
  t.equal((await factsOf(Buffer.from("Subject: Gr\xfc\n\n", "latin1"))).subject, "Gr\ufffd");
  t.equal((await factsOf("Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\n\n")).subject, "日本");
  const utf16 = "Content-Type: text/plain; charset=utf-16\nSubject: s\n\n\xff\xfe";
  t.match(await factsOf(utf16), { subject: "s", parts: 1, complete: true });
});

await t.test("strings are one line without control characters, and not long", async (t) => {
  const facts = await factsOf(
    "Subject: =?utf-8?B?YQ1iCmMAZBtb?=\u202Etxt.exe\nFrom: =?utf-8?Q?=0D=0AX:_y?= <a@b>\n\n",
  );
  t.equal(facts.subject, "a b c d [ txt.exe");
  t.notMatch(facts.from, /[\r\n]/);
  const long = await factsOf(`Subject: ${"😀".repeat(400)}\n\n`);
  t.equal(long.subject, "😀".repeat(250));
});

await t.test("limits end the reading and keep what was read", async (t) => {
  const header = "Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n";
  const part = "--b\nContent-Type: image/png\n\nx\n";
  const many = await factsOf(header + part.repeat(10_000));
  t.match(many, { subject: "s", complete: false });
  t.ok(many.parts <= factsLimits.partsMax, `${many.parts} parts`);
  const listed = await factsOf(header + part.repeat(60) + "--b--\n");
  t.equal(listed.attachments.length, factsLimits.attachmentsMax);
  t.match(listed, { parts: 60, complete: false });

  const large = await factsOf(`${header}${part}${"x".repeat(2 ** 21)}\n--b--\n`);
  t.match(large, { subject: "s", parts: 1, complete: false });
  t.ok(large.attachments[0]!.bytes <= factsLimits.bytesMax);

  let nested = "Subject: s\n";
  for (let i = 0; i < 1_000; i++)
    nested += `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n`;
  t.match(await factsOf(nested), { subject: "s", complete: false });

  t.match(await factsOf(header + part, { workMsMax: -1 }), { subject: "s", complete: false });
});

await t.test("a header bomb costs its limit", async (t) => {
  const fields = `X-A: ${"b".repeat(900)}\n`.repeat(2_000);
  t.match(await factsOf(`Subject: s\n${fields}\nbody`), { subject: "s", complete: false });
  t.match(await factsOf(`${"x".repeat(500_000)}\nSubject: s\n\n`), { subject: undefined });
  t.match(await factsOf(`Subject: ${"=?utf-8?B?YQ==?= ".repeat(3_000)}\n\n`), { complete: false });
  const folded = await factsOf(`Subject: a\n${" b\n".repeat(10_000)}From: c@d\n\n`);
  t.match(folded, { complete: false, from: "c@d" });
  t.match(await factsOf(`${"Subject: x\n".repeat(5_000)}Subject: last\n\n`), {
    subject: "last",
    complete: true,
  });
});

await t.test("a long body of one text is not parsed at all", (t) => {
  const reader = new FactsReader(limits);
  void reader.write(Buffer.from(plain));
  const waits = [];
  for (let i = 0; i < 100; i++) waits.push(reader.write(Buffer.alloc(65_536)));
  t.ok(waits.every((wait) => wait === undefined));
  void reader.end().then((facts) => {
    t.match(facts, { parts: 1, complete: true });
    t.end();
  });
});

await t.test("who does not wait gets the same facts", async (t) => {
  const message = mixed.replace("12345", "x".repeat(900_000));
  const reader = new FactsReader(limits);
  void reader.write(Buffer.from(message));
  t.match(await reader.end(), { parts: 4, attachments: [{}, { bytes: 900_000 }], complete: true });
});

await t.test("a message that is given up leaves nothing behind", async (t) => {
  const reader = new FactsReader(limits);
  void reader.write(Buffer.from(mixed.slice(0, 300)));
  t.equal((await reader.end()).subject, "Grüße ä");
});

const pieces = [
  "\n", "\n\n", "--b\n", "--b--\n", "--", "Content-Type: multipart/mixed; boundary=b\n",
  "Content-Type: text/plain; charset=utf-7\n", "Content-Type: message/rfc822\n", "Subject: ",
  "Content-Disposition: inline\n", "Content-Type: image/x; name*0*=utf-8''%ff; name*1=\"\\\n",
  "Content-Transfer-Encoding: base64\n", "Content-Transfer-Encoding: quoted-printable\n", "=?", "?=",
  "=?utf-8?Q?=", "From: ", "<", ">", "@", "(", "\"", ";", ":", ",", "=", " ", "\r", "\0", "\xff",
  "Content-Type: text/plain; format=flowed; delsp=yes\n", "=C3", "Message-ID: <",
]; // prettier-ignore

await t.test("whatever the bytes, there are facts and no exception", async (t) => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${seed}: SEED=${seed} node dist/test/facts.test.js repeats it`);
  const words = fc.array(fc.constantFrom(...pieces), { maxLength: 60 });
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
    words.map((list) => Buffer.from(list.join(""), "latin1")),
    words.map((list) => Buffer.from(pieces[5]! + list.join(""), "latin1")),
  );
  await fc.assert(
    fc.asyncProperty(message, fc.integer({ min: 1, max: 3_000 }), async (bytes, piece) => {
      const facts = await factsOf(bytes, { piece });
      for (const text of [facts.messageId, facts.subject, facts.from]) {
        // eslint-disable-next-line no-control-regex
        if (text !== undefined && /[\0-\x1f\x7f]/.test(text)) throw new Error(JSON.stringify(text));
      }
      if (facts.attachments.length > facts.parts) throw new Error(JSON.stringify(facts));
    }),
    { seed, numRuns: 1_500 },
  );
  t.pass();
});

await t.test("mailparser has the steps that facts are made with", (t) => {
  const { steps } = createParser({ maxHeadSize: 1, maxChildNodes: 1 });
  t.type(steps.createNode, "function");
  t.equal(steps.processHeaders.length, 1);
  t.equal(steps.processChunk.length, 2);
  t.equal(steps.splitter.processLine.length, 3);
  t.equal(steps.curnode, false);
  const values = decodeFields([
    { key: "content-type", line: "Content-Type: text/plain; charset=x" },
    { key: "from", line: "From: a <b@c>" },
    { key: "subject", line: "Subject: s" },
    { key: "message-id", line: "Message-ID: <i>" },
  ]);
  t.match(values.get("content-type"), { value: "text/plain", params: { charset: "x" } });
  t.match(values.get("from"), { text: '"a" <b@c>' });
  t.strictSame([values.get("subject"), values.get("message-id")], ["s", "<i>"]);
  t.end();
});
