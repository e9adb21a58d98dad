/**
 * Dovecot rewrites a mailbox and mail is delivered to it: Dovecot is held in the middle of an expunge, and every
 * message gets its 250 meanwhile. Also with the spool restarted or killed in that moment.
 */
import type { ImapFlow } from "imapflow";
import t from "tap";
import type { TestContext } from "./suite/run.ts";
import { Dovecot, missingDovecot } from "./system/dovecot.ts";
import { eventually } from "./system/harness.ts";
import { loggedIn } from "./system/imap-sessions.ts";
import { LockSite, storedBody } from "./system/lock-site.ts";
import { wholeMails } from "./system/numbered-mail.ts";
import { missingForServer } from "./system/mail-server.ts";
import { missingForStops, StoppedProgram } from "./system/stopped.ts";

const timeout = 120_000;
t.setTimeout(2 * timeout);
const skip = missingForServer() ?? missingDovecot() ?? missingForStops();
const options = skip === undefined ? { timeout } : { timeout, skip };

/** Values of mbox_write_locks, each with the mbox_read_locks that goes with it. */
const methods = { "dotlock fcntl": "fcntl", fcntl: "fcntl", flock: "flock" } as const;
type Method = keyof typeof methods;

const before = Array.from({ length: 12 }, (_, i) => `before-${i}`);
const kept = before.slice(5);

async function startDovecot(t: TestContext, site: LockSite, method: Method): Promise<Dovecot> {
  const dovecot = await Dovecot.start({
    mail: site.server.mount,
    ...site.owner,
    protocols: ["imap"],
    settings: {
      mbox_write_locks: method,
      mbox_read_locks: methods[method],
      login_log_format_elements: "user=<%u> serves=%e",
    },
  });
  t.teardown(() => dovecot.end());
  return dovecot;
}

async function login(dovecot: Dovecot, user: string): Promise<ImapFlow> {
  const client = await loggedIn(dovecot, user);
  await client.mailboxOpen("INBOX");
  return client;
}

/** Subjects and flags as a new session sees them. */
async function seen(dovecot: Dovecot, user: string): Promise<string[]> {
  const client = await login(dovecot, user);
  const found: string[] = [];
  for await (const { envelope, flags } of client.fetch("1:*", { envelope: true, flags: true })) {
    const own = [...flags!].filter((flag) => flag !== "\\Recent").sort();
    found.push([envelope!.subject, ...own].join(" "));
  }
  await client.logout();
  return found;
}

/** The process of the one session that a user has. */
async function servingProcess(dovecot: Dovecot, user: string): Promise<number> {
  const serving = () => new RegExp(`user=<${user}>, serves=(\\d+)`).exec(dovecot.log);
  await eventually("the login is logged", () => Promise.resolve(serving() !== null));
  return Number(serving()![1]);
}

/** An expunge that stands still after some writes. */
interface Held {
  readonly dovecot: Dovecot;
  readonly client: ImapFlow;
  readonly program: StoppedProgram;
  /** Resolves when the client has its answer or its connection has ended. */
  readonly expunged: Promise<unknown>;
}

async function hold(t: TestContext, site: LockSite, method: Method, box: string): Promise<Held> {
  await site.fill(box, before);
  const dovecot = await startDovecot(t, site, method);
  const client = await login(dovecot, box);
  t.teardown(() => client.close());
  await client.messageFlagsAdd("7:8", ["\\Flagged", "$Important"]);
  const pid = await servingProcess(dovecot, box);
  const point = { call: "pwrite64", when: 4, path: site.path(box) };
  const program = await StoppedProgram.prepare(pid, point);
  t.teardown(() => program.end());
  const expunged = client.messageDelete("1:5").catch((error: unknown) => error);
  await program.stopped();
  return { dovecot, client, program, expunged };
}

await t.test("mail that comes while Dovecot expunges", options, async (t) => {
  const site = await LockSite.start(t);
  for (const [i, method] of (Object.keys(methods) as Method[]).entries()) {
    const box = `user${i + 1}`;
    await t.test(`mbox_write_locks = ${method}`, { timeout }, async (t) => {
      const { dovecot, program, expunged } = await hold(t, site, method, box);
      const late = await site.deliverUnderLock(t, box);
      t.ok(program.isStopped, "while Dovecot stands still");
      program.resume();
      t.equal(await expunged, true);
      await site.shows(t, box, [...kept, ...late]);
      const flagged = ["before-6 $Important \\Flagged", "before-7 $Important \\Flagged"];
      t.strictSame(await seen(dovecot, box), ["before-5", ...flagged, ...kept.slice(3), ...late]);
      t.strictSame(dovecot.complaints, []);
    });
  }
});

/** What the spool does for Dovecot another process goes on with: open mailboxes, locks, the session. */
const killed: readonly Method[] = ["fcntl", "dotlock fcntl", "flock"];

await t.test("the spool is killed while Dovecot expunges", options, async (t) => {
  const site = await LockSite.start(t);
  for (const [i, method] of killed.entries()) {
    const box = `user${i + 1}`;
    await t.test(`mbox_write_locks = ${method}`, { timeout }, async (t) => {
      const { dovecot, client, program, expunged } = await hold(t, site, method, box);
      const late = await site.deliverUnderLock(t, box);
      t.ok(program.isStopped, "while Dovecot stands still");
      const half = await site.text(box);
      await site.killSpool();
      t.ok(program.isStopped);
      t.equal(await site.pending(), late.length, "the lock still holds");
      t.equal(await site.text(box), half, "what Dovecot had written by then is kept");
      late.push(...(await site.deliverUnderLock(t, box, "-after")));
      program.resume();
      t.equal(await expunged, true, "Dovecot goes on where it was");
      await site.shows(t, box, [...kept, ...late]);
      await client.noop();
      const flagged = ["before-6 $Important \\Flagged", "before-7 $Important \\Flagged"];
      t.strictSame(await seen(dovecot, box), ["before-5", ...flagged, ...kept.slice(3), ...late]);
      t.strictSame(dovecot.complaints, []);
    });
  }
});

/**
 * Locks of fcntl(2) and flock(2) end with a spool that is stopped, and so does the program's access to the mailbox;
 * a dotlock is a file and stays.
 */
await t.test("the server is restarted while Dovecot expunges", options, async (t) => {
  const site = await LockSite.start(t);
  const box = "user1";
  const { dovecot, client, program, expunged } = await hold(t, site, "dotlock fcntl", box);
  const late = await site.deliverUnderLock(t, box);
  t.ok(program.isStopped, "while Dovecot stands still");
  const half = await site.text(box);
  await site.restart();
  t.ok(program.isStopped);
  t.ok((await site.text(box)).startsWith(half), "what Dovecot had written by then is kept");
  t.equal(await site.pending(), late.length);
  t.equal(await site.text(box), half, "the dotlock still stands");
  program.resume();
  await expunged;
  client.close();
  // Another process of Dovecot's writes the log.
  await eventually("Dovecot says that it has lost its mailbox", async () =>
    dovecot.complaints.some((line) => /endpoint is not connected/.test(line)),
  );
  await eventually("Dovecot removes the dotlock of its dead process", async () => {
    await seen(dovecot, box);
    return (await site.pending()) === 0;
  });
  const text = await site.text(box);
  t.strictSame(wholeMails(text.slice(half.length)), late, "in order, and once");
  t.strictSame(
    kept.filter((id) => !half.includes(storedBody(id))),
    [],
    "of what was not expunged everything is still there",
  );
});
