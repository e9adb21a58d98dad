/**
 * kill -9 of a worker, the front and the spool while mail comes in. What got its 250 is in every mailbox, once;
 * what did not is in all of its mailboxes or in none.
 */
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { content, deliverOnce, subjects, type Mail } from "./system/deliveries.ts";
import { eventually } from "./system/harness.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import type { SmtpClient } from "./system/smtp-client.ts";

t.setTimeout(240_000);

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(
  `seed ${seed}: SEED=${seed} node dist/test/server-kill.test.js kills at the same moments`,
);
const CONNECTIONS = 12;
const boxes = ["user1", "user2", "user3", "user4", "user5"];
const targets = ["worker", "front", "spool", "worker", "spool", "front"] as const;

interface Ledger {
  readonly acknowledged: Mail[];
  /** Sent, at least in part, without an answer to the data, or with a refusal. */
  readonly open: Mail[];
  /** What was answered where no 250 was. */
  readonly refusals: Set<number>;
}

const skip = missingForServer(true);
await t.test("kill -9 under load", skip === undefined ? {} : { skip }, async (t) => {
  const server = await MailServer.start(t, { hasTls: true });
  const ledger: Ledger = { acknowledged: [], open: [], refusals: new Set() };
  for (const [round, target] of targets.entries()) {
    await t.test(`${round}: the ${target}`, async (t) => {
      let isDone = false;
      const before = ledger.acknowledged.length;
      const loads = Array.from({ length: CONNECTIONS }, (_, number) =>
        load(server, `${round}-${number}`, number % 3 === 0, ledger, () => isDone),
      );
      await eventually("mail comes in", () =>
        Promise.resolve(ledger.acknowledged.length > before + 30),
      );
      await sleep((seed + round * 7919) % 100);
      const { spool, front, workers } = server.processes();
      const victim = { worker: workers[round % workers.length], front, spool }[target];
      t.ok(victim, `the ${target} runs`);
      process.kill(victim!, "SIGKILL");
      const atKill = ledger.acknowledged.length;
      await eventually("mail comes in again", () =>
        Promise.resolve(ledger.acknowledged.length > atKill + 30),
      );
      isDone = true;
      await Promise.all(loads);
      t.ok(server.running, "the server goes on");
      await check(t, server, ledger);
    });
  }
  t.ok(
    [...ledger.refusals].every((code) => [421, 451, 452].includes(code)),
    `refusals are for now only: ${[...ledger.refusals].join()}`,
  );
  await t.test("a clean restart keeps it all", async (t) => {
    t.equal(await server.stop(), 0);
    await server.serve();
    await deliverOnce(server, { subject: "after", to: ["user1"] });
    await check(t, server, ledger);
  });
});

type Tap = Parameters<Parameters<typeof t.test>[0]>[0];

/** Some mails in each connection; a connection that is lost or cannot be made is made again. */
async function load(
  server: MailServer,
  word: string,
  isTls: boolean,
  ledger: Ledger,
  isDone: () => boolean,
): Promise<void> {
  for (let k = 0; !isDone();) {
    let client: SmtpClient | undefined;
    try {
      client = await server.connect();
      if ((await client.replyOrEnd())?.code !== 220) continue;
      if (isTls) {
        client.write("STARTTLS\r\n");
        await client.expect(220);
        await client.startTls();
      }
      client.write("EHLO client.test\r\n");
      await client.expect(250);
      for (let m = 0; m < 4 && !isDone(); m++) {
        const to = boxes.filter((_, i) => (k + i) % 3 !== 0);
        const body = [word.repeat(20), "y".repeat(70)];
        if (!(await send(client, { subject: `${word}-${k++}`, to, body }, ledger))) break;
      }
    } catch {
      await sleep(20);
    } finally {
      client?.destroy();
    }
  }
}

/** Whether the connection may be used again. */
async function send(client: SmtpClient, mail: Mail, ledger: Ledger): Promise<boolean> {
  const recipients = mail.to.map((name) => `RCPT TO:<${name}@example.test>\r\n`).join("");
  client.write(`MAIL FROM:<ann@example.org>\r\n${recipients}DATA\r\n`);
  for (let left = mail.to.length + 2; left > 0; left--) {
    const reply = await client.replyOrEnd();
    if (reply === undefined) return false;
    if (reply.code >= 400) {
      ledger.refusals.add(reply.code);
      return false;
    }
  }
  const bytes = content(mail);
  const half = bytes.length >> 1;
  let answer;
  try {
    client.write(bytes.slice(0, half));
    // So that a kill falls into the middle of the data of some.
    await new Promise((resolve) => setImmediate(resolve));
    client.write(bytes.slice(half));
    answer = await client.replyOrEnd();
  } finally {
    if (answer?.code === 250) ledger.acknowledged.push(mail);
    else ledger.open.push(mail);
  }
  if (answer !== undefined && answer.code !== 250) ledger.refusals.add(answer.code);
  return answer?.code === 250;
}

async function check(t: Tap, server: MailServer, { acknowledged, open }: Ledger): Promise<void> {
  const found = new Map<string, Map<string, number>>();
  for (const box of boxes) found.set(box, subjects(await server.mailbox(box)));
  const counts = ({ subject, to }: Mail): number[] =>
    to.map((box) => found.get(box)!.get(subject) ?? 0);
  const lost = acknowledged.filter((mail) => counts(mail).some((count) => count !== 1));
  const half = open.filter((mail) => new Set(counts(mail)).size > 1);
  t.strictSame(
    lost.map((mail) => [mail.subject, counts(mail)]),
    [],
    "what was acknowledged is there",
  );
  t.strictSame(
    half.map((mail) => [mail.subject, counts(mail)]),
    [],
    "nothing is half there",
  );
  t.ok(acknowledged.length > 0, `${acknowledged.length} acknowledged, ${open.length} open`);
}
