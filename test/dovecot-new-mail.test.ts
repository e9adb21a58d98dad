/**
 * New mail is seen: a client in IMAP IDLE hears of a delivery through the kernel's events, the times of a mailbox
 * tell mail programs that it has new mail, and the next POP3 login has it.
 *
 * Dovecot would look by itself only after 10 minutes here, so whatever an idle client hears came by an event.
 */
import { constants } from "node:fs";
import t from "tap";
import type { Stat } from "./suite/program.ts";
import type { TestContext } from "./suite/run.ts";
import { deliverOnce } from "./system/deliveries.ts";
import { eventually } from "./system/harness.ts";
import { deliverMail } from "./system/hint-mail.ts";
import { HintClient } from "./system/hints.ts";
import { ImapClient } from "./system/imap-client.ts";
import { endMailSite, missingMailSite, startMailSite, type MailSite } from "./system/mail-site.ts";
import { Pop3Client } from "./system/pop3-client.ts";

const TIMEOUT_MS = 240_000;
t.setTimeout(2 * TIMEOUT_MS);
const reason = missingMailSite();
const options = reason === undefined ? { timeout: TIMEOUT_MS } : { skip: reason };

/** Long after an event, and long before Dovecot looks by itself. */
const HEARD_MS_MAX = 60_000;
const LOCK_EX = 2;
const F_SETLK = 6;
const F_WRLCK = 1;

await t.test("new mail is seen", options, async (t) => {
  const site = await startMailSite(t, {
    mailbox_idle_check_interval: "10 min",
    pop3_enable_last: "yes",
  });
  await t.test("a client in IDLE", (t) => clientInIdle(t, site));
  await t.test("twenty clients in IDLE, one delivery to all", (t) => manyInIdle(t, site));
  await t.test("the times of a mailbox", (t) => times(t, site));
  await t.test("POP3", (t) => pop3(t, site));
  await endMailSite(t, site);
});

async function idling(site: MailSite, user: string): Promise<ImapClient> {
  const client = await ImapClient.login(site.dovecot.ports.imap, user);
  await client.must("SELECT INBOX");
  await client.idle();
  return client;
}

/** How many messages the idle client is told of next. */
async function heard(client: ImapClient): Promise<number | undefined> {
  const response = await client.idled(/^\* \d+ EXISTS$/, HEARD_MS_MAX);
  return response === undefined ? undefined : Number(response.line.split(" ")[1]);
}

async function clientInIdle(t: TestContext, site: MailSite): Promise<void> {
  const { server, program } = site;
  const client = await idling(site, "user1");
  t.teardown(() => client.destroy());
  for (const [i, subject] of ["first", "second", "third"].entries()) {
    await deliverOnce(server, { subject, to: ["user1", "user2"] });
    t.equal(await heard(client), i + 1, `the ${subject} mail, by SMTP`);
  }
  const hints = await HintClient.open(program, server.mount);
  await deliverMail(hints, { id: "by-hint" }, ["user1"]);
  t.equal(await heard(client), 4, "a delivery by hint");

  const path = `${server.mount}/user1`;
  const fd = await program.open(path, constants.O_RDWR);
  await program.call("lock", fd, F_SETLK, F_WRLCK, 0, 0);
  await deliverMail(hints, { id: "behind-fcntl" }, ["user1"]);
  await program.close(fd);
  t.equal(await heard(client), 5, "a delivery that a fcntl lock held up");

  const other = await program.open(path, constants.O_RDWR);
  await program.call("flock", other, LOCK_EX);
  await deliverMail(hints, { id: "behind-flock" }, ["user1"]);
  await program.close(other);
  t.equal(await heard(client), 6, "a delivery that a flock held up");

  await program.writeFile(`${path}.lock`, "");
  await deliverMail(hints, { id: "behind-dotlock" }, ["user1"]);
  await program.unlink(`${path}.lock`);
  t.equal(await heard(client), 7, "a delivery that a dotlock held up");

  await client.done();
  const found = await client.fetch("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
  t.strictSame(
    found.map(({ literal }) => /^Subject: (.*)\r$/m.exec(literal!.toString("latin1"))?.[1]),
    ["first", "second", "third", "by-hint", "behind-fcntl", "behind-flock", "behind-dotlock"],
  );
  await program.close(hints.fd);
  await client.logout();
}

async function manyInIdle(t: TestContext, site: MailSite): Promise<void> {
  const { server, users } = site;
  const clients = await Promise.all(
    users.map(async (user) => {
      const client = await ImapClient.login(site.dovecot.ports.imap, user);
      t.teardown(() => client.destroy());
      const { untagged } = await client.must("SELECT INBOX");
      const exists = untagged.find(({ line }) => line.endsWith(" EXISTS"));
      await client.idle();
      return { client, count: Number(exists!.line.split(" ")[1]) };
    }),
  );
  for (let more = 1; more <= 3; more++) {
    await deliverOnce(server, { subject: `to all ${more}`, to: users });
    t.strictSame(
      await Promise.all(clients.map(({ client }) => heard(client))),
      clients.map(({ count }) => count + more),
      `all twenty hear of delivery ${more}`,
    );
  }
  await Promise.all(
    clients.map(async ({ client }) => {
      await client.done();
      await client.logout();
    }),
  );
}

/** mutt(1), biff(1) and the shell's MAILCHECK: a mailbox that was changed after it was read has new mail. */
function isNew({ size, atime, mtime }: Stat): boolean {
  return size > 0 && mtime > atime;
}

async function times(t: TestContext, site: MailSite): Promise<void> {
  const { server, program } = site;
  const path = `${server.mount}/user20`;
  const hints = await HintClient.open(program, server.mount);
  const marked = async (): Promise<boolean> => isNew(await program.stat(path));
  /** Times are told in milliseconds: what changes a file in that of the last reading would not show. */
  const nextTime = (): Promise<unknown> => program.call("sleep_until_clock_moves");
  // What Dovecot says of the mailbox is the last thing to change its times.
  const reader = await ImapClient.login(site.dovecot.ports.imap, "user20");
  await reader.must("SELECT INBOX");
  await reader.fetch("UID FETCH 1:* (BODY.PEEK[])");
  await reader.logout();

  await nextTime();
  await deliverOnce(server, { subject: "by SMTP", to: ["user20"] });
  t.ok(await marked(), "new after a delivery by SMTP");
  const whole = await program.readFile(path);
  t.notOk(await marked(), "not new after a program has read it");
  t.ok((await program.readFile(path)).equals(whole));
  t.notOk(await marked(), "nor after the next one");
  await nextTime();
  const fd = await program.open(path, constants.O_WRONLY);
  await program.pwrite(fd, "F", 0);
  await program.close(fd);
  t.ok(await marked(), "new after another program has written");
  await program.readFile(path);
  t.notOk(await marked(), "not new after that was read, though the kernel has it all in its cache");
  await nextTime();
  await deliverMail(hints, { id: "by-hint" }, ["user20"]);
  t.ok(await marked(), "new after a delivery by hint");
  await program.readFile(path);
  await nextTime();
  await program.writeFile(`${path}.lock`, "");
  await deliverMail(hints, { id: "pending" }, ["user20"]);
  t.notOk(await marked(), "not new while the delivery pends");
  await program.unlink(`${path}.lock`);
  await eventually("new when it shows", marked);

  const before = await program.stat(path);
  const looker = await ImapClient.login(site.dovecot.ports.imap, "user20");
  await looker.must("EXAMINE INBOX");
  await looker.logout();
  const after = await program.stat(path);
  t.ok(isNew(after), "still new after IMAP has only looked at it");
  // Dovecot sets the times back by utime(2), which knows whole seconds.
  t.equal(after.mtime / 1_000_000_000n, before.mtime / 1_000_000_000n, "changed when it was");

  const user = await ImapClient.login(site.dovecot.ports.imap, "user20");
  await user.must("SELECT INBOX");
  await user.must("STORE 1:* +FLAGS (\\Seen)");
  await user.logout();
  await program.readFile(path);
  t.notOk(await marked(), "not new after IMAP has changed it and a program has read that");
  await program.close(hints.fd);
}

async function pop3(t: TestContext, site: MailSite): Promise<void> {
  const { server, dovecot } = site;
  const login = (): Pop3Client => new Pop3Client(t, dovecot.ports.pop3, "user19");
  const first = login();
  const count = await first.count();
  await deliverOnce(server, { subject: "one", to: ["user19"], body: ["1", "2", "3"] });
  await deliverOnce(server, { subject: "two", to: ["user19"] });
  t.equal(await first.count(), count, "an open session keeps its messages");
  const known = await first.uids();
  await first.quit();

  const second = login();
  t.equal(await second.count(), count + 2, "the next login has the new mail");
  const uids = await second.uids();
  t.strictSame(uids.slice(0, count), known, "UIDL names the older ones as before");
  t.equal(new Set(uids).size, uids.length, "and each by a name of its own");
  const [, top] = await second.call<readonly [string, readonly string[]]>("top", count + 1, 1);
  t.ok(top.includes("Subject: one"), "TOP gives the header");
  t.strictSame(top.slice(-2), ["", "1"], "and as many lines as it was asked for");
  await second.call("retr", count + 1);
  t.equal(await second.call("command", "LAST"), `+OK ${count + 1}`, "LAST");
  await second.call("dele", count + 1);
  await second.call("rset");
  await second.quit();

  const third = login();
  t.strictSame(await third.uids(), uids, "RSET takes DELE back");
  await third.call("dele", count + 2);
  // It comes between the mark and the deletion.
  await deliverOnce(server, { subject: "three", to: ["user19"] });
  await third.quit();
  const fourth = login();
  const left = await fourth.uids();
  t.strictSame(left.slice(0, -1), uids.slice(0, count + 1), "DELE and QUIT delete one");
  t.notOk(uids.includes(left.at(-1)!), "the one that came meanwhile has a name of its own");
  const [, last] = await fourth.call<readonly [string, readonly string[]]>("retr", left.length);
  t.ok(last.includes("Subject: three"));
  await fourth.quit();

  const imap = await ImapClient.login(dovecot.ports.imap, "user19");
  await imap.must("SELECT INBOX");
  await imap.must("STORE 1 +FLAGS (\\Deleted)");
  await imap.must("EXPUNGE");
  await imap.logout();
  await deliverOnce(server, { subject: "four", to: ["user19"] });
  const fifth = login();
  const rest = await fifth.uids();
  t.strictSame(rest.slice(0, -1), left.slice(1), "UIDL outlasts what another client expunges");
  await fifth.quit();
}
