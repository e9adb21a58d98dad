/**
 * SMTP smuggling: a sequence that one server takes for the end of a message and another does not lets a stranger
 * send mail in somebody else's name. Only CRLF.CRLF ends a message here, wherever the bytes are cut.
 * Sequences: SEC Consult (2023), CVE-2023-51764, -51765, -51766.
 */
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { subjects } from "./system/deliveries.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import type { Reply } from "./system/smtp-client.ts";

t.setTimeout(120_000);

const ends = [
  "\n.\n",
  "\n.\r\n",
  "\n.\r",
  "\r.\r",
  "\r.\n",
  "\r.\r\n",
  "\r\n.\n",
  "\r\n.\r",
  "\r\n.\r\r\n",
  "\r\n\0.\r\n",
  "\r\n.\0\r\n",
  "\r\n. \r\n",
  "\n\r.\r\n",
  "\n\r.\n\r",
];
const smuggled = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<user2@example.test>\r\nDATA\r\n";
const CONNECTIONS = 16;

interface Attack {
  readonly end: string;
  /** Where the bytes are cut in two; 0 for in one piece. */
  readonly cut: number;
  readonly subject: string;
}

function bytesOf({ end, subject }: Attack): { envelope: string; data: string } {
  const envelope =
    "EHLO client.test\r\nMAIL FROM:<ann@example.org>\r\nRCPT TO:<user1@example.test>\r\nDATA\r\n";
  const outer = `Subject: ${subject}\r\n\r\nfirst${end}`;
  return { envelope, data: `${outer}${smuggled}Subject: smuggled\r\n\r\nx\r\n.\r\nQUIT\r\n` };
}

function attacks(word: string): Attack[] {
  const all: Attack[] = [];
  for (const [number, end] of ends.entries()) {
    const subject = (cut: number): string => `${word}-${number}-${String(cut).padStart(4, "0")}`;
    all.push({ end, cut: 0, subject: subject(0) });
    const { data } = bytesOf(all.at(-1)!);
    const at = data.indexOf("first") + "first".length;
    for (let cut = at - 1; cut <= at + end.length + smuggled.indexOf("\r\n") + 2; cut++) {
      all.push({ end, cut, subject: subject(cut) });
    }
  }
  return all;
}

/** The reply to the data, when the one behind it was the reply to QUIT. */
async function attack(server: MailServer, one: Attack): Promise<Reply> {
  const client = await server.connect();
  const { envelope, data } = bytesOf(one);
  await client.expect(220);
  client.write(envelope);
  for (const code of [250, 250, 250, 354]) await client.expect(code);
  if (one.cut > 0) {
    client.write(data.slice(0, one.cut));
    await client.flush();
    // Long enough that the pieces arrive one by one; were they to arrive together the test would prove less.
    await sleep(2);
  }
  client.write(data.slice(one.cut));
  const reply = await client.reply();
  await client.expect(221);
  await client.closed();
  return reply;
}

async function runAll(
  server: MailServer,
  all: readonly Attack[],
): Promise<{ one: Attack; reply: Reply }[]> {
  const left = all.toReversed();
  const found: { one: Attack; reply: Reply }[] = [];
  const work = async (): Promise<void> => {
    for (let one = left.pop(); one !== undefined; one = left.pop()) {
      try {
        found.push({ one, reply: await attack(server, one) });
      } catch (error) {
        throw new Error(`${JSON.stringify(one)}: ${(error as Error).message}`, { cause: error });
      }
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, work));
  return found;
}

const skip = missingForServer();
const options = skip === undefined ? {} : { skip };

await t.test("what only looks like an end of data stays in the message", options, async (t) => {
  const server = await MailServer.start(t);
  const all = attacks("kept");
  const found = await runAll(server, all);
  t.strictSame(
    found.filter(({ reply }) => reply.code !== 250),
    [],
  );
  t.equal(await server.mailbox("user2"), "");
  const text = await server.mailbox("user1");
  const messages = text.split(/^(?=From ann@example\.org )/m);
  t.equal(messages.length, all.length);
  t.strictSame(
    messages.filter((message) => !/^MAIL FROM:<evil@example\.org>$/m.test(message)),
    [],
    "the smuggled commands stand in the message",
  );
  const names = subjects(text);
  t.strictSame(
    all.filter(({ subject }) => names.get(subject) !== 1),
    [],
  );
});

await t.test("with bare_newline = reject it is refused", options, async (t) => {
  const server = await MailServer.start(t, { tables: { "": { bare_newline: "reject" } } });
  const found = await runAll(server, attacks("refused"));
  const isBare = (end: string): boolean => /[\r\n]/.test(end.replaceAll("\r\n", ""));
  t.strictSame(
    found.filter(({ one, reply }) => (reply.code === 550) !== isBare(one.end)),
    [],
  );
  t.ok(found.every(({ reply }) => reply.code !== 550 || reply.lines[0]!.startsWith("5.5.2 ")));
  t.equal(await server.mailbox("user2"), "");
  const refused = found.filter(({ reply }) => reply.code === 550).map(({ one }) => one.subject);
  const names = subjects(await server.mailbox("user1"));
  t.strictSame(
    refused.filter((subject) => names.has(subject)),
    [],
  );
});
