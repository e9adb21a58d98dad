/** Clients that people use: Python's smtplib and LMTP class, and swaks. */
import { spawnSync } from "node:child_process";
import t from "tap";
import { run } from "./cli-process.ts";
import { subjects } from "./system/deliveries.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import { runScript } from "./system/scripts.ts";

t.setTimeout(120_000);
const skip = missingForServer(true);

await t.test("Python's smtplib", skip === undefined ? {} : { skip }, async (t) => {
  const server = await MailServer.start(t, { hasTls: true });
  const { smtp, lmtp } = server.ports;
  const ports = [String(smtp), String(lmtp)];
  const { ended } = runScript("smtp_clients.py", [...ports, server.path("tls.crt")]);
  const { code, output, errors } = await ended;
  t.equal(code, 0, errors);
  const lines = output.trim().split("\n");
  const told = new Map(lines.map((line) => JSON.parse(line) as [string, unknown]));
  t.strictSame(told.get("send_message"), {});
  t.strictSame(told.get("refused"), { "nobody@example.test": 550 });
  t.strictSame(told.get("relay"), { "ann@example.org": 550 });
  t.equal(told.get("login"), "not supported");
  t.equal(told.get("verify"), 252);
  t.equal(told.get("noop"), 250);
  t.match(told.get("tls"), [/^TLSv1\.[23]$/, false, false]);
  t.strictSame(told.get("send_message over TLS"), {});
  t.strictSame(told.get("send_message in UTF-8"), {});
  t.equal(told.get("old TLS"), "refused");
  t.strictSame(told.get("LMTP rcpt"), [250, 550, 250]);
  t.equal(told.get("LMTP data"), 354);
  t.strictSame(told.get("LMTP replies"), [250, 250]);

  const user1 = await server.mailbox("user1");
  t.strictSame(Object.fromEntries(subjects(user1)), {
    smtplib: 1,
    "one of two": 1,
    "smtplib over TLS": 1,
  });
  t.match(user1, /^\.a dot$/m);
  t.match(user1, /^>+From here$/m);
  t.equal(subjects(await server.mailbox("user2")).get("smtplib"), 1);
  t.match((await server.mailboxBytes("user3")).toString(), /^Subject: Grüße$/m);
  t.equal(subjects(await server.mailbox("user5")).get("LMTP"), 1);
});

const { status } = spawnSync("swaks", ["--version"], { timeout: 30_000 });
const skipSwaks = skip ?? (status === 0 ? undefined : "swaks is missing");
await t.test("swaks", skipSwaks === undefined ? {} : { skip: skipSwaks }, async (t) => {
  const server = await MailServer.start(t, { hasTls: true });
  const swaks = (...args: string[]) =>
    run("swaks", "--from", "ann@example.org", "--helo", "client.test", "--timeout", "30", ...args);
  const smtp = ["--server", `127.0.0.1:${server.ports.smtp}`];
  const to = (name: string): string[] => ["--to", `${name}@example.test`];

  const plain = await swaks(
    ...smtp,
    "--to",
    "user1@example.test,user2@example.test",
    "--header",
    "Subject: plain",
  );
  t.equal(plain.code, 0, plain.stdout + plain.stderr);
  const crypt = await swaks(...smtp, ...to("user1"), "--tls", "--header", "Subject: TLS");
  t.equal(crypt.code, 0, crypt.stdout + crypt.stderr);
  t.match(crypt.stdout, /TLS started with cipher TLSv1\.[23]/);
  const piped = await swaks(...smtp, ...to("user1"), "--pipeline", "--header", "Subject: pipeline");
  t.equal(piped.code, 0, piped.stdout + piped.stderr);
  const unknown = await swaks(...smtp, ...to("nobody"));
  t.equal(unknown.code, 24, "all recipients were refused");
  t.match(unknown.stdout, /550 5\.1\.1 /);
  const auth = await swaks(...smtp, ...to("user1"), "--auth", "PLAIN", "--au", "a", "--ap", "b");
  t.equal(auth.code, 28, "no AUTH is offered");
  const lmtp = ["--protocol", "LMTP", "--server", `127.0.0.1:${server.ports.lmtp}`];
  const local = await swaks(...lmtp, ...to("user3"), "--header", "Subject: local");
  t.equal(local.code, 0, local.stdout + local.stderr);

  t.strictSame([...subjects(await server.mailbox("user1")).keys()].sort(), [
    "TLS",
    "pipeline",
    "plain",
  ]);
  t.strictSame([...subjects(await server.mailbox("user2")).keys()], ["plain"]);
  t.strictSame([...subjects(await server.mailbox("user3")).keys()], ["local"]);
});
