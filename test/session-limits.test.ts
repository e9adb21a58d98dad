/**
 * Limits of a session, over a real port, with front and worker in this process. Nothing is mounted: a message is
 * answered as one whose spool is gone.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createSecureContext, type SecureContext } from "node:tls";
import t, { type Test } from "tap";
import type { Config, Limits } from "../server/config/config.ts";
import { defaultConfig } from "../server/config/defaults.ts";
import { Delivery } from "../server/delivery/delivery.ts";
import type { HandOverResult } from "../server/hand-over/worker-port.ts";
import { RateWatch, WINDOW_MS } from "../server/smtp/rate-watch.ts";
import { InProcessServer } from "./system/in-process-server.ts";
import { SmtpClient } from "./system/smtp-client.ts";

interface Set {
  readonly limits?: Partial<Limits>;
  readonly config?: Partial<Config>;
  readonly onGive?: () => HandOverResult | undefined;
  readonly secureContext?: SecureContext;
}

async function serve(t: Test, { limits, config, onGive, secureContext }: Set = {}) {
  const base = defaultConfig("/nowhere", false);
  const whole: Config = { ...base, ...config, limits: { ...base.limits, ...limits } };
  const { hostname, share, spool } = whole;
  const delivery = Delivery.create({ mount: spool.mount, hostname, share, limits: whole.limits });
  const server = await InProcessServer.start({
    config: whole,
    delivery,
    secureContext,
    ...(onGive === undefined ? {} : { onGive }),
  });
  const port = await server.listen("smtp");
  t.teardown(() => server.close());
  return { server, port };
}

async function connected(t: Test, port: number): Promise<SmtpClient> {
  const client = await SmtpClient.connect(port);
  t.teardown(() => client.destroy());
  return client;
}

async function greeted(t: Test, port: number): Promise<SmtpClient> {
  const client = await connected(t, port);
  await client.expect(220);
  await client.command("EHLO client.test");
  return client;
}

async function trusted(t: Test, port: number): Promise<SmtpClient> {
  const client = await greeted(t, port);
  await client.command("MAIL FROM:<a@b.test>");
  client.write("RCPT TO:<user1@example.test>\r\n");
  return client;
}

/** The line of the connection, when it has ended. */
async function endOf(server: InProcessServer): Promise<string> {
  for (let tries = 0; server.connections.length === 0 && tries < 500; tries++) await sleep(10);
  return server.connections[0]?.end ?? "not ended";
}

t.test(
  "a client that says nothing is closed, and so is one that does not finish a line",
  async (t) => {
    const { server, port } = await serve(t, { limits: { commandMs: 1000 } });
    const silent = await connected(t, port);
    await silent.expect(220);
    const dripping = await connected(t, port);
    await dripping.expect(220);
    const drip = setInterval(() => dripping.write("x"), 20);
    t.teardown(() => clearInterval(drip));
    t.match(await silent.reply(), { code: 421, lines: [/^4\.4\.2 /] });
    t.match(await dripping.reply(), { code: 421, lines: [/^4\.4\.2 /] });
    await silent.closed();
    t.equal(await endOf(server), "commandTimeout");
  },
);

t.test("a session ends when its time is over, however busy it is", async (t) => {
  const { server, port } = await serve(t, { limits: { sessionMs: 1000 } });
  const client = await connected(t, port);
  await client.expect(220);
  client.write("EHLO client.test\r\n");
  const work = setInterval(() => client.write("RSET\r\n"), 20);
  t.teardown(() => clearInterval(work));
  // On a busy machine it may be over before the first of them.
  let reply = await client.reply();
  while (reply.code === 250) reply = await client.reply();
  t.equal(reply.code, 421);
  clearInterval(work);
  t.equal(await endOf(server), "sessionTimeout");
});

t.test(
  "a connection that was used and is not any more is closed earlier than one that is new",
  async (t) => {
    const { server, port } = await serve(t, { limits: { unusedMs: 150 } });
    const client = await trusted(t, port);
    await client.expect(250);
    await client.command("DATA");
    t.match(await client.command("Subject: x\r\n\r\nx\r\n."), { code: 451 });
    t.match(await client.reply(), { code: 421, lines: [/^4\.4\.2 /] });
    t.equal(await endOf(server), "unused");
  },
);

t.test("who talks before the greeting is refused, with a delay and without one", async (t) => {
  // Longer than a busy machine may let this process wait behind its first packets.
  for (const greetingDelayMs of [0, 3000]) {
    const { server, port } = await serve(t, { limits: { greetingDelayMs } });
    const client = await connected(t, port);
    client.write("EHLO client.test\r\n");
    const reply = await client.reply();
    // Without a delay the greeting may be faster than what was sent.
    if (greetingDelayMs === 0 && reply.code === 220) continue;
    t.match(reply, { code: 554, lines: [/^5\.5\.1 /] });
    t.equal(await endOf(server), "earlyTalker");
  }
});

t.test("the greeting waits as long as it is told to", async (t) => {
  const { port } = await serve(t, { limits: { greetingDelayMs: 100 } });
  const began = Date.now();
  const client = await connected(t, port);
  await client.expect(220);
  t.ok(Date.now() - began >= 99);
});

t.test("one client has so many connections and no more, closed ones not counted", async (t) => {
  const { server, port } = await serve(t, { limits: { connectionsPerClientMax: 2 } });
  const first = await greeted(t, port);
  await greeted(t, port);
  const third = await connected(t, port);
  t.match(await third.reply(), { code: 421, lines: [/^4\.7\.0 /] });
  await third.closed();
  await first.command("QUIT");
  await first.closed();
  while (server.connections.length < 2) await sleep(10);
  const fourth = await connected(t, port);
  t.match(await fourth.reply(), { code: 220 });
});

t.test("connections that a worker has count for their client", async (t) => {
  const { server, port } = await serve(t, { limits: { connectionsPerClientMax: 1 } });
  const first = await trusted(t, port);
  await first.expect(250);
  t.equal(server.front.open, 0);
  const second = await connected(t, port);
  t.match(await second.reply(), { code: 421, lines: [/^4\.7\.0 /] });
  await second.closed();
  await first.command("QUIT");
  await first.closed();
  while (server.connections.length < 2) await sleep(10);
  const third = await connected(t, port);
  t.match(await third.reply(), { code: 220 });
});

t.test("all clients together have so many connections and no more", async (t) => {
  const { port } = await serve(t, { limits: { connectionsMax: 1 } });
  await greeted(t, port);
  const second = await connected(t, port);
  t.match(await second.reply(), { code: 421, lines: [/^4\.3\.2 /] });
  await second.closed();
});

t.test("the hard limit of errors ends a session", async (t) => {
  const { server, port } = await serve(t, { limits: { errorsSoft: 3, errorsHard: 3 } });
  const client = await greeted(t, port);
  for (let count = 1; count <= 3; count++) t.match(await client.command("XYZZY"), { code: 500 });
  t.match(await client.reply(), { code: 421, lines: [/^4\.7\.0 /] });
  await client.closed();
  t.equal(await endOf(server), "tooManyErrors");
  t.match(server.connections[0], { errors: 3, role: "front" });
});

t.test("errors that were made before a hand-over count after it", async (t) => {
  const { server, port } = await serve(t, { limits: { errorsSoft: 4, errorsHard: 4 } });
  const client = await greeted(t, port);
  for (let count = 1; count <= 3; count++) await client.command("XYZZY");
  await client.command("MAIL FROM:<a@b.test>");
  t.match(await client.command("RCPT TO:<user1@example.test>"), { code: 250 });
  t.match(await client.command("XYZZY"), { code: 500 });
  t.match(await client.reply(), { code: 421 });
  t.equal(await endOf(server), "tooManyErrors");
  t.match(server.connections[0], { errors: 4, role: "worker" });
});

t.test("commands that bring no message forward are limited", async (t) => {
  const { server, port } = await serve(t, { limits: { idleCommandsMax: 3 } });
  const client = await greeted(t, port);
  await client.command("NOOP");
  await client.command("NOOP");
  t.match(await client.command("NOOP"), { code: 421, lines: [/^4\.7\.0 /] });
  t.equal(await endOf(server), "tooManyIdleCommands");
});

t.test("a failed or late hand-over is a 421 in place of the recipient's 250", async (t) => {
  for (const result of ["failed", "timedOut"] as const) {
    const { server, port } = await serve(t, { onGive: () => result });
    const client = await trusted(t, port);
    t.match(await client.reply(), { code: 421, lines: [/^4\.3\.2 /] });
    await client.closed();
    t.equal(await endOf(server), "handOverFailed");
    t.equal(server.worker.open, 0);
    t.equal(server.front.open, 0);
  }
});

t.test("replies that were not written before a failed hand-over are written then", async (t) => {
  const { port } = await serve(t, { onGive: () => "failed" });
  const client = await greeted(t, port);
  client.write("MAIL FROM:<a@b.test>\r\nRCPT TO:<user1@example.test>\r\nDATA\r\n");
  t.match(await client.reply(), { code: 250 });
  t.match(await client.reply(), { code: 421 });
  t.equal(await client.closed(), "");
});

t.test("when the workers are full, a recipient is put off", async (t) => {
  const workers = { count: 1, memoryMiBMax: 64, messagesMax: 10, connectionsMax: 0 };
  const { server, port } = await serve(t, { config: { workers } });
  const client = await trusted(t, port);
  t.match(await client.reply(), { code: 421, lines: [/^4\.3\.2 /] });
  t.equal(await endOf(server), "workersBusy");
});

t.test("under stress the limits are the tighter ones, in front and worker", async (t) => {
  // Begins with the second connection, and lasts while there is one.
  const limits = { connectionsMax: 5, stressPercent: 22 };
  // Each of them alone: a busy machine may let a client be late.
  for (const [stressLimits, ends] of [
    [{ stressErrorsHard: 2, stressCommandMs: 60_000 }, ["tooManyErrors", "closed"]],
    [{ stressCommandMs: 1000 }, ["commandTimeout", "commandTimeout"]],
  ] as const) {
    const { server, port } = await serve(t, { limits: { ...limits, ...stressLimits } });
    const first = await greeted(t, port);
    await sleep(50);
    t.notOk(server.front.isStress);
    const second = await connected(t, port);
    await second.expect(220);
    while (!server.front.isStress) await sleep(10);
    t.ok(server.worker.isStress);
    if (ends[0] === "tooManyErrors") {
      await first.command("XYZZY");
      await first.command("XYZZY");
      t.match(await first.reply(), { code: 421 });
      while (server.connections.length < 1) await sleep(10);
      second.destroy();
    }
    while (server.connections.length < 2) await sleep(10);
    t.strictSame(
      server.connections.map(({ end }) => end),
      ends,
    );
    while (server.front.isStress) await sleep(10);
    t.notOk(server.worker.isStress);
  }
});

t.test("a proxy of the list tells the client, one that is not listed is a client", async (t) => {
  const { server, port } = await serve(t, { config: { proxyFrom: ["127.0.0.0/8"] } });
  const client = await connected(t, port);
  client.write("PROXY TCP4 192.0.2.7 198.51.100.1 4321 25\r\n");
  await client.expect(220);
  await client.command("QUIT");
  t.equal(await endOf(server), "quit");
  t.equal(server.connections[0]?.client, "192.0.2.7");

  const other = await serve(t);
  const unlisted = await connected(t, other.port);
  await unlisted.expect(220);
  t.match(await unlisted.command("PROXY TCP4 192.0.2.7 198.51.100.1 4321 25"), { code: 500 });
});

t.test(
  "without its header a proxy is refused, and a header that never ends is not waited for",
  async (t) => {
    const { server, port } = await serve(t, { config: { proxyFrom: ["127.0.0.1"] } });
    for (const bytes of ["EHLO client.test\r\n", "PROXY TCP4 ".padEnd(200, "1"), "\r\n"]) {
      const client = await connected(t, port);
      client.write(bytes);
      t.match(await client.reply(), { code: 421 }, JSON.stringify(bytes));
      await client.closed();
    }
    while (server.connections.length < 3) await sleep(10);
    t.ok(server.connections.every(({ end }) => end === "proxyHeaderInvalid"));
  },
);

t.test("a client that talks right behind the proxy's header talks too early", async (t) => {
  const { port } = await serve(t, { config: { proxyFrom: ["127.0.0.1"] } });
  const client = await connected(t, port);
  client.write("PROXY TCP4 192.0.2.7 198.51.100.1 4321 25\r\nEHLO client.test\r\n");
  t.match(await client.reply(), { code: 554 });
});

t.test("XCLIENT is for those that are listed, and its facts survive the hand-over", async (t) => {
  const { server, port } = await serve(t, { config: { xclientFrom: ["127.0.0.1"] } });
  const client = await greeted(t, port);
  t.match(await client.command("XCLIENT ADDR=192.0.2.9 NAME=relay.test"), { code: 220 });
  const { lines } = await client.command("EHLO again.test");
  t.notOk(lines.some((line) => line.startsWith("XCLIENT")));
  await client.command("MAIL FROM:<a@b.test>");
  t.match(await client.command("RCPT TO:<user1@example.test>"), { code: 250 });
  t.match(await client.command("XCLIENT ADDR=192.0.2.10"), { code: 550 });
  await client.command("QUIT");
  t.equal(await endOf(server), "quit");
  t.match(server.connections[0], { client: "192.0.2.9", role: "worker" });

  const other = await serve(t);
  const unlisted = await greeted(t, other.port);
  t.match(await unlisted.command("XCLIENT ADDR=192.0.2.9"), { code: 550 });
});

t.test(
  "draining ends idle sessions, and one with a message under way after its answer",
  async (t) => {
    const { server, port } = await serve(t);
    const idle = await greeted(t, port);
    const busy = await trusted(t, port);
    await busy.expect(250);
    await busy.command("DATA");
    server.front.drain();
    server.worker.drain();
    t.match(await idle.reply(), { code: 421, lines: [/^4\.3\.2 /] });
    t.match(await busy.command("Subject: x\r\n\r\nx\r\n."), { code: 451 });
    t.match(await busy.reply(), { code: 421, lines: [/^4\.3\.2 /] });
    await busy.closed();
    while (server.connections.length < 2) await sleep(10);
    t.equal(server.worker.open, 0);
  },
);

t.test("a client that closes its side after all commands still gets every reply", async (t) => {
  const { server, port } = await serve(t);
  const client = await greeted(t, port);
  client.write("MAIL FROM:<a@b.test>\r\nRCPT TO:<user1@example.test>\r\nDATA\r\n");
  for (const code of [250, 250, 354]) await client.expect(code);
  client.write("Subject: x\r\n\r\nx\r\n.\r\nNOOP\r\n");
  client.end();
  await client.expect(451);
  await client.expect(250);
  await client.closed();
  t.equal(await endOf(server), "closed");
});

t.test("a burst buys no silence: a rate is looked at window by window", (t) => {
  const watch = new RateWatch(0);
  t.notOk(watch.isTooSlow(0, WINDOW_MS - 1, 500));
  t.notOk(watch.isTooSlow(1_000_000, WINDOW_MS, 500));
  t.notOk(watch.isTooSlow(1_000_000, 2 * WINDOW_MS - 1, 500));
  t.ok(watch.isTooSlow(1_000_000, 2 * WINDOW_MS, 500));
  const exact = new RateWatch(0);
  t.notOk(exact.isTooSlow((WINDOW_MS / 1000) * 500, WINDOW_MS, 500));
  const waited = new RateWatch(0);
  waited.restart(0, WINDOW_MS - 1);
  t.notOk(waited.isTooSlow(0, WINDOW_MS + 1, 500), "while the server itself was slow");
  t.end();
});

t.test("a client that says STARTTLS and no more is closed as any that is silent", async (t) => {
  const secureContext = createSecureContext();
  // Nothing is said for so long on a busy machine either.
  const { server, port } = await serve(t, { limits: { commandMs: 2000 }, secureContext });
  const client = await greeted(t, port);
  t.match(await client.command("STARTTLS"), { code: 220 });
  await client.closed();
  t.equal(await endOf(server), "commandTimeout");
});

t.test(
  "recipients beyond the limit are refused, and those before it get the message",
  async (t) => {
    const { server, port } = await serve(t, { limits: { recipientsMax: 5, errorsHard: 3 } });
    const client = await greeted(t, port);
    await client.command("MAIL FROM:<a@b.test>");
    const codes: number[] = [];
    for (let user = 1; user <= 15; user++) {
      codes.push((await client.command(`RCPT TO:<user${user}@example.test>`)).code);
    }
    t.strictSame(codes, [...Array<number>(5).fill(250), ...Array<number>(10).fill(452)]);
    await client.command("RCPT TO:<user1@example.test>");
    t.match(await client.command("DATA"), { code: 354 });
    t.match(await client.command("Subject: x\r\n\r\nx\r\n."), { code: 451 });
    await client.command("QUIT");
    t.equal(await endOf(server), "quit");
    t.match(server.messages, [{ recipients: 5 }]);
    t.match(server.connections[0], { refused: 11, errors: 0 });
  },
);

t.test(
  "recipients that the front refused are in the line of the worker's connection",
  async (t) => {
    const { server, port } = await serve(t);
    const client = await greeted(t, port);
    await client.command("MAIL FROM:<a@b.test>");
    t.match(await client.command("RCPT TO:<nobody@example.test>"), { code: 550 });
    t.match(await client.command("RCPT TO:<user1@example.test>"), { code: 250 });
    await client.command("QUIT");
    t.equal(await endOf(server), "quit");
    t.match(server.connections[0], { refused: 1, role: "worker" });
  },
);

t.test(
  "hundreds of commands in one write are all answered, also when the client closes its side",
  async (t) => {
    const { port } = await serve(t);
    const client = await greeted(t, port);
    const recipients = "RCPT TO:<user1@example.test>\r\n".repeat(300);
    client.write(`MAIL FROM:<a@b.test>\r\n${recipients}DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n`);
    client.end();
    for (let count = 0; count < 301; count++) await client.expect(250);
    await client.expect(354);
    await client.expect(451);
    await client.closed();
  },
);

t.test(
  "a worker that was lost with a session may have answered it: no reply is given twice",
  async (t) => {
    for (const result of ["lost", "timedOut"] as const) {
      const { port } = await serve(t, { onGive: () => result });
      const client = await greeted(t, port);
      client.write("MAIL FROM:<a@b.test>\r\nRCPT TO:<user1@example.test>\r\nDATA\r\n");
      t.match(await client.reply(), { code: 421 });
      t.equal(await client.closed(), "");
    }
  },
);

t.test("a session that comes too late is not taken", async (t) => {
  const { server, port } = await serve(t, { limits: { handOverMs: -1 } });
  const client = await trusted(t, port);
  await client.closed();
  t.equal(server.worker.open, 0);
  t.strictSame(server.messages, []);
});

t.test("a web page's request is no session that quits", async (t) => {
  const { server, port } = await serve(t);
  const client = await connected(t, port);
  await client.expect(220);
  t.match(await client.command("GET / HTTP/1.1"), { code: 421 });
  t.equal(await endOf(server), "protocolError");
});

t.test("servers of the site are not limited as one client", async (t) => {
  const limits = { connectionsPerClientMax: 1 };
  const { server, port } = await serve(t, { limits, config: { xclientFrom: ["127.0.0.1"] } });
  for (let count = 0; count < 3; count++) await greeted(t, port);
  const lmtp = await serve(t, { limits });
  const lmtpPort = await lmtp.server.listen("lmtp");
  for (let count = 0; count < 3; count++) {
    const client = await connected(t, lmtpPort);
    await client.expect(220);
  }
  t.equal(server.connections.length, 0);
});

t.test("a connection that is turned away has a line in the log", async (t) => {
  const { server, port } = await serve(t, { limits: { connectionsMax: 0 } });
  const client = await connected(t, port);
  await client.expect(421);
  t.equal(await endOf(server), "tooManyConnections");
});

t.test("parameters are known ones, of a bounded length", async (t) => {
  const { port } = await serve(t);
  const client = await greeted(t, port);
  const long = "a".repeat(501);
  t.match(await client.command("MAIL FROM:<a@b.test> NOVEL=1"), { code: 555 });
  t.match(await client.command(`MAIL FROM:<a@b.test> ENVID=${long}`), { code: 501 });
  t.match(await client.command("MAIL FROM:<a@b.test> ENVID=x RET=HDRS BODY=8BITMIME"), {
    code: 250,
  });
  t.match(await client.command("RCPT TO:<user1@example.test> NOVEL"), { code: 555 });
  t.match(await client.command(`RCPT TO:<user1@example.test> ORCPT=rfc822;${long}`), { code: 501 });
  t.match(await client.command("RCPT TO:<user1@example.test> ORCPT=rfc822;x@y"), { code: 250 });
});

t.test("a long list of DSN parameters does not make a long line of the log", async (t) => {
  const { server, port } = await serve(t);
  const client = await greeted(t, port);
  await client.command("MAIL FROM:<a@b.test>");
  for (let count = 0; count < 50; count++) {
    await client.command(`RCPT TO:<user1@example.test> ORCPT=rfc822;${"x".repeat(400)}`);
  }
  await client.command("DATA");
  await client.command("Subject: x\r\n\r\nx\r\n.");
  while (server.messages.length === 0) await sleep(10);
  t.ok(JSON.stringify(server.messages[0]).length < 10_000);
});
