/** SIGHUP while twenty connections deliver: nothing is dropped, and what is new holds. */
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { deliver, deliverOnce, introduced, subjects, type Mail } from "./system/deliveries.ts";
import { eventually } from "./system/harness.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";

t.setTimeout(120_000);
const CONNECTIONS = 20;
const RELOADS = 8;

const skip = missingForServer(true);
await t.test("reload under load", skip === undefined ? {} : { skip }, async (t) => {
  const server = await MailServer.start(t, { hasTls: true });
  const delivered: Mail[] = [];
  const end = new AbortController();
  const load = async (number: number): Promise<void> => {
    const to = ["user1", `user${2 + (number % 10)}`];
    // One half stays connected over the reloads, the other half comes again with each mail.
    const kept = number % 2 === 0 ? await introduced(server) : undefined;
    for (let k = 0; !end.signal.aborted; k++) {
      const mail = { subject: `${number}-${k}`, to };
      if (kept === undefined) await deliverOnce(server, mail);
      else await deliver(kept, mail);
      delivered.push(mail);
    }
    if (kept === undefined) return;
    kept.write("QUIT\r\n");
    await kept.expect(221);
  };
  const loads = Array.from({ length: CONNECTIONS }, (_, number) => load(number));
  const failed = Promise.race(loads);
  const before = server.certificate;
  for (let k = 1; k <= RELOADS; k++) {
    const seen = delivered.length;
    await Promise.race([sleep(150), failed]);
    const more = async () => delivered.length > seen + CONNECTIONS;
    await Promise.race([eventually("mail comes in", more), failed]);
    if (k === RELOADS) server.makeCertificate();
    const users = Array.from({ length: 20 }, (_, i) => `user${i + 1}`);
    server.configure({ recipients: { users: [...users, `new${k}`] } });
    server.reload();
    await eventually(`new${k} is a user`, async () => {
      const client = await introduced(server);
      client.write(`MAIL FROM:<>\r\nRCPT TO:<new${k}@example.test>\r\nQUIT\r\n`);
      await client.expect(250);
      const { code } = await client.reply();
      await client.expect(221);
      return code === 250;
    });
  }
  end.abort();
  await Promise.all(loads);
  t.ok(delivered.length > CONNECTIONS, `${delivered.length} mails`);
  const boxes = new Map<string, Map<string, number>>();
  for (let i = 1; i <= 11; i++) boxes.set(`user${i}`, subjects(await server.mailbox(`user${i}`)));
  const wrong = delivered.filter(({ subject, to }) =>
    to.some((box) => boxes.get(box)!.get(subject) !== 1),
  );
  t.strictSame(wrong, []);

  t.not(server.certificate, before);
  const client = await introduced(server);
  client.write("STARTTLS\r\n");
  await client.expect(220);
  const tls = await client.startTls(server.certificate);
  t.ok(tls.authorized, "the new certificate is the one that is shown");
});

await t.test(
  "a configuration that is wrong changes nothing",
  skip === undefined ? {} : { skip },
  async (t) => {
    const server = await MailServer.start(t);
    server.configure({ limits: { errors_hard: 0 } });
    server.reload();
    await eventually("the log tells", () => Promise.resolve(/errors_hard/.test(server.said)));
    await deliverOnce(server, { subject: "still there", to: ["user1"] });
    t.equal(subjects(await server.mailbox("user1")).get("still there"), 1);
  },
);

await t.test(
  "SIGTERM finishes what is under way",
  skip === undefined ? {} : { skip },
  async (t) => {
    const server = await MailServer.start(t);
    const client = await introduced(server);
    client.write("MAIL FROM:<ann@example.org>\r\nRCPT TO:<user1@example.test>\r\nDATA\r\n");
    for (const code of [250, 250, 354]) await client.expect(code);
    client.write("Subject: last\r\n\r\nx\r\n");
    await client.flush();
    const stopped = server.stop();
    await eventually("no new connection is taken", async () => {
      try {
        const other = await server.connect();
        const reply = await other.replyOrEnd();
        other.destroy();
        return reply === undefined || reply.code === 421;
      } catch {
        return true;
      }
    });
    client.write(".\r\n");
    await client.expect(250);
    client.destroy();
    t.equal(await stopped, 0);
    await server.serve();
    t.equal(subjects(await server.mailbox("user1")).get("last"), 1);
  },
);
