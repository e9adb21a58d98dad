/**
 * Clients that go away at every byte of their session, around the hand-over above all, by FIN and by RST. Nothing of
 * them stays: no half message, and no place among the connections that a client may have.
 */
import t from "tap";
import { deliverOnce, introduced, subjects, transaction } from "./system/deliveries.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import type { SmtpClient } from "./system/smtp-client.ts";

t.setTimeout(120_000);
const PER_CLIENT = 12;

const goings: Readonly<Record<string, (client: SmtpClient) => void>> = {
  FIN: (client) => client.end(),
  close: (client) => client.destroy(),
  RST: (client) => client.reset(),
};

const skip = missingForServer(true);
for (const isTls of [false, true]) {
  const name = isTls ? "over TLS" : "in the clear";
  await t.test(name, skip === undefined ? {} : { skip }, async (t) => {
    const limits = { connections_per_client_max: PER_CLIENT };
    const server = await MailServer.start(t, { hasTls: true, tables: { limits } });
    const open = async (): Promise<SmtpClient> => {
      // The server sees the end of the one before later than the client does.
      for (;;) {
        const client = await server.connect();
        const reply = await client.replyOrEnd();
        if (reply?.code === 220) return isTls ? await secured(client) : client;
        client.destroy();
      }
    };
    const secured = async (client: SmtpClient): Promise<SmtpClient> => {
      client.write("STARTTLS\r\n");
      await client.expect(220);
      await client.startTls();
      return client;
    };
    const session = `EHLO client.test\r\n${transaction({ subject: "whole", to: ["user1", "user2"] })}`;
    const step = isTls ? 3 : 1;
    for (const [how, go] of Object.entries(goings)) {
      for (let cut = 0; cut < session.length; cut += step) {
        const client = await open();
        client.write(session.slice(0, cut));
        if (cut % 2 === 0) await client.flush();
        go(client);
        if (how === "FIN") await client.closed();
      }
    }
    t.equal(await server.mailbox("user1"), "", "nothing was delivered");

    const clients = [];
    while (clients.length < PER_CLIENT) clients.push(await open());
    t.pass("a client has all of its connections again");
    const { code } = await (await server.connect()).reply();
    t.equal(code, 421, "and not one more");
    for (const client of clients) client.destroy();
    t.ok(server.running);
  });
}

await t.test(
  "the places of sessions whose worker died",
  skip === undefined ? {} : { skip },
  async (t) => {
    const limits = { connections_per_client_max: PER_CLIENT };
    const server = await MailServer.start(t, { tables: { limits } });
    const opened = [];
    for (let i = 0; i < PER_CLIENT; i++) {
      const client = await introduced(server);
      client.write("MAIL FROM:<ann@example.org>\r\nRCPT TO:<user1@example.test>\r\n");
      await client.expect(250);
      await client.expect(250);
      opened.push(client);
    }
    for (const pid of server.processes().workers) process.kill(pid, "SIGKILL");
    // The front ends those of which it had not heard yet that the worker has them.
    for (const client of opened) t.match(await client.closed(), /^(?:421 4\.3\.2 .*\r\n)?$/);
    const again: SmtpClient[] = [];
    const deadline = Date.now() + 20_000;
    while (again.length < PER_CLIENT && Date.now() < deadline) {
      const client = await server.connect();
      if ((await client.replyOrEnd())?.code === 220) again.push(client);
    }
    t.equal(again.length, PER_CLIENT);
    for (const client of again) client.destroy();
  },
);

await t.test(
  "a large message right behind its envelope",
  skip === undefined ? {} : { skip },
  async (t) => {
    const server = await MailServer.start(t, { hasTls: true });
    const body = Array.from({ length: 80_000 }, (_, i) => `line ${i} ${"x".repeat(50)}`);
    const plain = await server.connect();
    const crypt = await server.connect();
    await plain.expect(220);
    await crypt.expect(220);
    crypt.write("STARTTLS\r\n");
    await crypt.expect(220);
    await crypt.startTls(server.certificate);
    const mails = [
      { client: plain, subject: "plain", to: ["user1"], body },
      { client: crypt, subject: "crypt", to: ["user2"], body },
    ];
    for (const { client, ...mail } of mails) {
      client.write(`EHLO client.test\r\n${transaction(mail)}QUIT\r\n`);
    }
    for (const { client, subject, to } of mails) {
      for (const code of [250, 250, 250, 354, 250, 221]) await client.expect(code);
      const text = await server.mailbox(to[0]!);
      t.equal(subjects(text).get(subject), 1);
      t.ok(text.endsWith(`${body.join("\n")}\n\n`), `${subject}: the whole body is there`);
    }
    await deliverOnce(server, { subject: "after", to: ["user3"] });
  },
);
