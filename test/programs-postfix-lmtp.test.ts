/**
 * Postfix in front of the LMTP port: it queues and bounces, Onespool stores. What it takes is in the mailboxes once,
 * also when the server was away meanwhile.
 */
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { eventually } from "./system/harness.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import { mailText, wholeMails } from "./system/numbered-mail.ts";
import { missingPostfix, Postfix, type Parameters } from "./system/postfix.ts";
import { introduce, quit, send, type Sending } from "./system/smtp-sending.ts";
import type { TestContext } from "./suite/run.ts";

t.setTimeout(480_000);
const skip = missingForServer() ?? missingPostfix();
const options = skip === undefined ? {} : { skip };
/** Mails of a load that are not in the mailboxes yet. */
const WAITING_MAX = 50;
const users = Array.from({ length: 100 }, (_, i) => `user${i + 1}`);

await t.test("Postfix in front of LMTP", { ...options, timeout: 400_000 }, async (t) => {
  const server = await MailServer.start(t, {
    tables: { recipients: { users: [...users, "jörg"] } },
  });
  const postfix = await startPostfix(t, server);

  await t.test("100 recipients are one transaction, and one copy", async (t) => {
    await sendThrough(postfix, {
      from: "ann@example.org",
      to: users.map(address),
      text: mailText({ id: "to-all", lines: 2_000 }),
    });
    await postfix.delivered();
    const found = await Promise.all(users.map((user) => server.mailbox(user)));
    t.ok(found.every((mailbox) => wholeMails(mailbox).join() === "to-all"));
    const lines = await linesOf(server, "to-all");
    t.equal(lines.length, 1);
    t.match(lines[0], { recipients: 100, mailboxes: 100, result: "stored" });
    const kept = lines[0]!["storedBytes"] as number;
    const size = lines[0]!["bytes"] as number;
    t.ok(kept < size + 100 * 400, `${kept} bytes for one message of ${size} bytes`);
  });

  await t.test("a recipient who is unknown comes back, the others have it", async (t) => {
    await sendThrough(postfix, {
      from: "user1@example.test",
      to: ["user2", "nobody-here", "user3"].map(address),
      text: mailText({ id: "partly" }),
    });
    await postfix.delivered();
    for (const user of ["user2", "user3"]) {
      t.strictSame(wholeMails(await server.mailbox(user)), ["to-all", "partly"]);
    }
    const back = (await server.mailbox("user1")).split(/^From /m).at(-1)!;
    t.match(back, /^MAILER-DAEMON /);
    t.match(back, /^Return-Path: <>$/m);
    t.match(back, /^Final-Recipient: rfc822; nobody-here@example\.test$/m);
    t.match(back, /^Status: 5\.1\.1$/m);
    t.match(back, /^Diagnostic-Code: smtp; 550 5\.1\.1 /m);
    t.equal(back.match(/^Final-Recipient: /gm)?.length, 1);
  });

  await t.test("20 MB arrive as they were", async (t) => {
    const line = `${"0123456789abcdef".repeat(4)}\n`;
    const body = line.repeat(Math.floor((20 * 1024 * 1024) / line.length));
    await sendThrough(postfix, {
      from: "ann@example.org",
      to: ["user4@example.test", "user5@example.test"],
      text: `Subject: large\n\n${body}`,
    });
    await postfix.delivered();
    for (const user of ["user4", "user5"]) {
      const [, , large] = (await server.mailbox(user)).split(/^From /m);
      t.ok(large?.slice(large.indexOf("\n\n") + 2) === `${body}\n`, user);
    }
  });

  await t.test("8-bit text and addresses in UTF-8 pass", async (t) => {
    const latin1 = (text: string): string => Buffer.from(text).toString("latin1");
    await sendThrough(postfix, {
      from: "ärger@example.org",
      fromParameters: "BODY=8BITMIME SMTPUTF8",
      to: ["jörg@example.test"],
      text: latin1("Subject: Grüße\n\nschöne Grüße\n"),
    });
    await sendThrough(postfix, {
      from: "ann@example.org",
      fromParameters: "BODY=8BITMIME",
      to: ["user6@example.test"],
      text: "Subject: eight\n\n\xe9\xff\x80\n",
    });
    await postfix.delivered();
    const joerg = (await server.mailboxBytes("jörg")).toString();
    t.match(joerg, /^Return-Path: <ärger@example\.org>$/m);
    t.match(joerg, /^Delivered-To: jörg@example\.test$/m);
    t.match(joerg, /^Subject: Grüße$/m);
    t.match(joerg, /^schöne Grüße$/m);
    t.match(await server.mailbox("user6"), /^\xe9\xff\x80$/m);
  });

  await t.test("DSN parameters reach the log", async (t) => {
    await sendThrough(postfix, {
      from: "user1@example.test",
      fromParameters: "RET=HDRS ENVID=QQ314159",
      to: ["user7@example.test"],
      toParameters: "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;User7@example.test",
      text: mailText({ id: "with-dsn" }),
    });
    await postfix.delivered();
    const [line] = await linesOf(server, "with-dsn");
    t.match(line!["dsn"], { ret: "HDRS", envid: "QQ314159" });
  });

  await t.test("Postfix itself tells of the success when it does not pass DSN on", async (t) => {
    postfix.configure({ lmtp_discard_lhlo_keywords: "dsn" });
    await postfix.reload();
    await sendThrough(postfix, {
      from: "user8@example.test",
      to: ["user7@example.test"],
      toParameters: "NOTIFY=SUCCESS,FAILURE",
      text: mailText({ id: "success" }),
    });
    await postfix.delivered();
    t.match(await server.mailbox("user8"), /^Action: (delivered|relayed)$/m);
  });
  t.strictSame(postfix.complaints, []);

  await t.test("mail waits in Postfix while the server is away", async (t) => {
    await server.stop();
    await sendThrough(postfix, {
      from: "ann@example.org",
      to: ["user9", "user10"].map(address),
      text: mailText({ id: "while-away" }),
    });
    await eventually("the first attempt fails", async () => {
      const [waiting] = await postfix.queue();
      return waiting?.recipients[0]?.delay_reason !== undefined;
    });
    await server.serve();
    await postfix.flush();
    await postfix.delivered();
    for (const user of ["user9", "user10"]) {
      t.strictSame(wholeMails(await server.mailbox(user)), ["to-all", "while-away"]);
    }
  });

  await t.test("a server that stops and starts under load has each mail once", async (t) => {
    const sending = sendUntilEnough(server, postfix, ["user11", "user12"].map(address));
    try {
      for (let round = 0; round < 2; round++) {
        const before = stored(server).length;
        await eventually("some mail comes", async () => stored(server).length >= before + 10);
        await server.stop();
        await server.serve();
        // All that was sent may be deferred by now.
        await postfix.flush();
      }
    } finally {
      await sending.end();
    }
    const ids = await sending.end();
    await postfix.flush();
    await postfix.delivered();
    for (const user of ["user11", "user12"]) {
      const found = wholeMails(await server.mailbox(user));
      t.strictSame(found.toSorted(), ["to-all", ...ids].toSorted());
    }
  });

  await t.test("Postfix ends and leaves no process", async () => {
    await postfix.stop();
    // Those that were busy end a moment after the first of them.
    await eventually("none of its processes runs", async () => postfix.processes().length === 0);
  });
});

async function startPostfix(t: TestContext, server: MailServer): Promise<Postfix> {
  const parameters: Parameters = {
    virtual_mailbox_domains: "example.test",
    virtual_transport: `lmtp:inet:127.0.0.1:${server.ports.lmtp}`,
    lmtp_destination_recipient_limit: "2000",
    message_size_limit: String(30 * 1024 * 1024),
    virtual_mailbox_limit: "0",
    mailbox_size_limit: "0",
  };
  const postfix = await Postfix.start(parameters);
  t.teardown(() => postfix.end());
  return postfix;
}

function address(user: string): string {
  return `${user}@example.test`;
}

async function sendThrough(postfix: Postfix, sending: Sending): Promise<void> {
  const client = await postfix.connect();
  await introduce(client);
  await send(client, sending);
  await quit(client);
}

/**
 * One mail after the other, until it is ended: however fast they are, there is always one more to come. While the server
 * is away, however long, no more than some wait for it: all of them must be delivered in the end.
 */
function sendUntilEnough(
  server: MailServer,
  postfix: Postfix,
  to: readonly string[],
): { end(): Promise<readonly string[]> } {
  const enough = new AbortController();
  const all = (async () => {
    const ids: string[] = [];
    const before = stored(server).length;
    const client = await postfix.connect();
    await introduce(client);
    while (!enough.signal.aborted) {
      const id = `under-load-${ids.length}`;
      await send(client, { from: "ann@example.org", to, text: mailText({ id }) });
      ids.push(id);
      while (!enough.signal.aborted && ids.length > stored(server).length - before + WAITING_MAX) {
        await sleep(20);
      }
    }
    await quit(client);
    return ids;
  })();
  return {
    end() {
      enough.abort();
      return all;
    },
  };
}

/** Those of one message; a line is written a moment after the reply. */
async function linesOf(server: MailServer, subject: string): Promise<Record<string, unknown>[]> {
  const found = () => stored(server).filter((line) => line["subject"] === subject);
  await eventually(`${subject} is in the log`, async () => found().length > 0);
  return found();
}

/** The server's lines of messages that were stored. */
function stored(server: MailServer): Record<string, unknown>[] {
  return server.log().filter((line) => line["result"] === "stored");
}
