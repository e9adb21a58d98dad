/**
 * One whole session as one string of bytes, with the hand-over in its middle, cut in two at every position: the
 * answers and the mailboxes are the same each time.
 */
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { subjects, transaction } from "./system/deliveries.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import type { SmtpClient } from "./system/smtp-client.ts";

t.setTimeout(120_000);

const CONNECTIONS = 16;
const boxes = ["user1", "user2", "user3"];

function session(subject: string): string {
  const mail = transaction({ subject, to: boxes, body: ["text", ".dot", "QUIT"] });
  const wrong = "RCPT TO:<nobody@example.test>\r\n";
  return `EHLO client.test\r\n${mail.replace("RCPT", `${wrong}RCPT`)}NOOP\r\nQUIT\r\n`;
}

const answers = [250, 250, 550, 250, 250, 250, 354, 250, 250, 221];

async function codes(client: SmtpClient): Promise<(number | undefined)[]> {
  const found: (number | undefined)[] = [];
  for (;;) {
    const code = (await client.replyOrEnd())?.code;
    if (code === undefined) return found;
    found.push(code);
  }
}

async function runCuts(
  word: string,
  positions: readonly number[],
  open: () => Promise<SmtpClient>,
): Promise<{ subject: string; found: (number | undefined)[] }[]> {
  const left = positions.toReversed();
  const results: { subject: string; found: (number | undefined)[] }[] = [];
  const work = async (): Promise<void> => {
    for (let cut = left.pop(); cut !== undefined; cut = left.pop()) {
      const subject = `${word}-${String(cut).padStart(4, "0")}`;
      const bytes = session(subject);
      const client = await open();
      if (cut > 0) {
        client.write(bytes.slice(0, cut));
        await client.flush();
        // Most often the first piece is answered, or handed over, before the second one is sent.
        await sleep(cut % 3 === 0 ? 0 : 3);
      }
      client.write(bytes.slice(cut));
      results.push({ subject, found: await codes(client) });
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, work));
  return results;
}

async function check(
  t: Tap,
  server: MailServer,
  results: readonly { subject: string; found: (number | undefined)[] }[],
): Promise<void> {
  t.strictSame(
    results.filter(({ found }) => found.join() !== answers.join()),
    [],
  );
  for (const box of boxes) {
    const names = subjects(await server.mailbox(box));
    t.strictSame(
      results.filter(({ subject }) => names.get(subject) !== 1).map(({ subject }) => subject),
      [],
      `each message is once in ${box}`,
    );
  }
}

type Tap = Parameters<Parameters<typeof t.test>[0]>[0];

const everywhere = Array.from({ length: session("plain-0000").length }, (_, position) => position);

const skip = missingForServer();
await t.test("in the clear", skip === undefined ? {} : { skip }, async (t) => {
  const server = await MailServer.start(t);
  const results = await runCuts("plain", everywhere, async () => {
    const client = await server.connect();
    await client.expect(220);
    return client;
  });
  await check(t, server, results);
});

const skipTls = missingForServer(true);
await t.test("over TLS", skipTls === undefined ? {} : { skip: skipTls }, async (t) => {
  const server = await MailServer.start(t, { hasTls: true });
  const results = await runCuts("crypt", everywhere, async () => {
    const client = await server.connect();
    await client.expect(220);
    client.write("EHLO client.test\r\n");
    await client.expect(250);
    client.write("STARTTLS\r\n");
    await client.expect(220);
    await client.startTls(server.certificate);
    return client;
  });
  await check(t, server, results);
});
