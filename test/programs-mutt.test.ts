/**
 * mutt on mailboxes of the mount, which it finds at /var/mail: what it rewrites stays shared, what comes meanwhile
 * stays, and new mail is seen.
 */
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import type { TestContext } from "./suite/run.ts";
import type { Program } from "./suite/program.ts";
import { missingProgram, outputOf, type CommandOptions } from "./system/command.ts";
import { eventually, Harness, needs } from "./system/harness.ts";
import { deliverMail, storedBytes } from "./system/hint-mail.ts";
import type { HintClient } from "./system/hints.ts";
import { MailUsers, type MailUser } from "./system/mail-users.ts";
import { wholeMails } from "./system/numbered-mail.ts";
import { Mutt, type MuttSettings } from "./system/mutt.ts";

t.setTimeout(240_000);
const missing = missingProgram("mutt", "mutt_dotlock", "useradd", "unshare");
const options = missing === undefined ? needs("kernel", 200_000) : { skip: missing };
/** Of a message's body. */
const LINES = 400;
/** A message that mutt has rewritten the header of has no more than this of its own. */
const HEADER_BYTES_MAX = 700;

await t.test("mutt", options, async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const made = MailUsers.make(2, harness.mount.directory);
  t.teardown(() => made.remove());
  const root = harness.program();
  await outputOf(["chgrp", "mail", harness.mount.mountpoint]);
  await outputOf(["chmod", "3777", harness.mount.mountpoint]);
  const spool: Spool = {
    harness,
    root,
    hints: await harness.hints(root),
    alice: made.users[0]!,
    bob: made.users[1]!,
  };
  await t.test("flags, deletes, and leaves the rest shared", (t) => flagsAndDeletes(t, spool));
  await t.test("saves to another mailbox of the mount", (t) => saves(t, spool));
  await t.test("sees a delivery while it has the mailbox open", (t) => seesDelivery(t, spool));
  await t.test("rewrites while mail comes, and loses none", (t) => rewritesUnderLoad(t, spool));
  await t.test("marks mailboxes with new mail, not those that were read", (t) => marks(t, spool));
});

interface Spool {
  readonly harness: Harness;
  readonly root: Program;
  readonly hints: HintClient;
  readonly alice: MailUser;
  readonly bob: MailUser;
}

function start(t: TestContext, { harness, alice }: Spool, settings: MuttSettings = {}): Mutt {
  const { name: user, home } = alice;
  const environment = { HOME: home, USER: user, MAIL: `/var/mail/${user}` };
  const place: CommandOptions = { user, varMail: harness.mount.mountpoint, environment };
  const mutt = Mutt.start({ mailbox: `/var/mail/${user}`, ...settings }, place);
  t.teardown(() => mutt.end());
  return mutt;
}

function deliver(spool: Spool, id: string, lines = LINES): Promise<void> {
  const { hints, alice, bob } = spool;
  return deliverMail(hints, { id, lines }, [alice.name, bob.name]);
}

function text({ harness, root }: Spool, name: string): Promise<string> {
  return root.text(harness.path(name));
}

/** An empty mailbox of a user. */
async function makeMailbox({ harness, root }: Spool, name: string, owner: MailUser): Promise<void> {
  await root.writeFile(harness.path(name), "");
  await root.call("os.chown", harness.path(name), owner.uid, owner.gid);
  await root.call("os.chmod", harness.path(name), 0o600);
}

async function flagsAndDeletes(t: TestContext, spool: Spool): Promise<void> {
  const { alice, bob, hints } = spool;
  await makeMailbox(spool, alice.name, alice);
  await makeMailbox(spool, bob.name, bob);
  const ids = Array.from({ length: 20 }, (_, i) => `mail-${i}`);
  for (const id of ids) await deliver(spool, id);
  const before = { stored: await storedBytes(hints), bob: await text(spool, bob.name) };

  const mutt = start(t, spool);
  await mutt.status({ messages: 20, new: 20 });
  // Reads the first, flags the second, deletes the third, the tenth and the last.
  mutt.type("1\r\r");
  await mutt.shows(/mail-0 line 0 of/);
  mutt.type("i");
  await mutt.status({ new: 19 });
  mutt.type("2\rF3\rd10\rd20\rd");
  await mutt.status({ messages: 20, deleted: 3, flagged: 1 });
  mutt.type("$");
  await mutt.status({ messages: 17, deleted: 0, flagged: 1 });
  await mutt.quit();

  const left = ids.filter((_, i) => ![2, 9, 19].includes(i));
  const found = await text(spool, alice.name);
  t.strictSame(wholeMails(found), left);
  const [, first, second, third] = found.split(/^From /m);
  t.match(first, /^Status: RO$/m);
  t.match(second, /^X-Status: F$/m);
  t.match(third, /^Status: O$/m);
  t.ok((await text(spool, bob.name)) === before.bob, "the other mailbox is as it was");
  const growth = (await storedBytes(hints)) - before.stored;
  t.comment(`${growth} bytes became private in ${left.length} messages of ${LINES} lines`);
  t.ok(growth < left.length * HEADER_BYTES_MAX, `${growth} bytes`);
}

async function saves(t: TestContext, spool: Spool): Promise<void> {
  const { alice } = spool;
  const archive = `${alice.name}.archive`;
  const ids = wholeMails(await text(spool, alice.name));
  const mutt = start(t, spool);
  await mutt.status({ messages: ids.length });
  mutt.type("1\rs");
  await mutt.shows(/Save to mailbox/);
  mutt.type(`\x15/var/mail/${archive}\r`);
  await mutt.status({ deleted: 1 });
  mutt.type("2\rC");
  await mutt.shows(/Copy to mailbox/);
  mutt.type(`\x15/var/mail/${archive}\r`);
  await mutt.status({ deleted: 1 });
  await mutt.quit();
  t.strictSame(wholeMails(await text(spool, archive)), ids.slice(0, 2));
  t.strictSame(wholeMails(await text(spool, alice.name)), ids.slice(1));
}

async function seesDelivery(t: TestContext, spool: Spool): Promise<void> {
  const { alice } = spool;
  const ids = wholeMails(await text(spool, alice.name));
  const mutt = start(t, spool);
  await mutt.status({ messages: ids.length, new: 0 });
  mutt.type("1\rd");
  await mutt.status({ deleted: 1 });
  await deliver(spool, "meanwhile");
  await mutt.status({ messages: ids.length + 1, new: 1, deleted: 1 });
  mutt.type("$");
  await mutt.status({ messages: ids.length, new: 1, deleted: 0 });
  await mutt.quit();
  t.strictSame(wholeMails(await text(spool, alice.name)), [...ids.slice(1), "meanwhile"]);
}

async function rewritesUnderLoad(t: TestContext, spool: Spool): Promise<void> {
  const { alice } = spool;
  const before = wholeMails(await text(spool, alice.name));
  const mutt = start(t, spool);
  await mutt.status({ messages: before.length });
  const delivered: string[] = [];
  const load = { isOver: false };
  const delivering = (async () => {
    while (!load.isOver) {
      const id = `load-${delivered.length}`;
      await deliver(spool, id, 20);
      delivered.push(id);
      // mutt writes nothing when it finds new mail at that moment, so there have to be moments without.
      await sleep(100);
    }
  })();
  const rounds = 8;
  for (let round = 0; round < rounds; round++) {
    const known = delivered.length;
    mutt.type("1\rd");
    await mutt.status({ deleted: 1 });
    await eventually("mutt writes", async () => {
      mutt.type("$");
      await sleep(50);
      return / deleted 0 /.test(mutt.terminal.screen);
    });
    await eventually("more mail comes", async () => delivered.length > known + 3);
  }
  load.isOver = true;
  await delivering;
  await mutt.status({ messages: before.length + delivered.length - rounds });
  await mutt.quit();
  t.comment(`${delivered.length} deliveries`);
  t.strictSame(wholeMails(await text(spool, alice.name)), [...before.slice(rounds), ...delivered]);
}

async function marks(t: TestContext, spool: Spool): Promise<void> {
  const { alice, hints } = spool;
  const names = ["old", "made", "early"].map((word) => `${alice.name}.${word}`);
  const [old, made, early] = names as [string, string, string];
  const create = { uid: alice.uid, gid: alice.gid };
  await makeMailbox(spool, old, alice);
  await deliverMail(hints, { id: "to-early" }, [early], create);
  const mutt = start(t, spool, { mailboxes: names.map((name) => `/var/mail/${name}`) });
  await mutt.status({});
  await deliverMail(hints, { id: "to-old" }, [old]);
  await deliverMail(hints, { id: "to-made" }, [made], create);
  await listed(mutt, new RegExp(names.map((name) => `\\[N\\] \\S*${name}\\s[^]*`).join("")));
  t.pass(
    "the mailbox that was empty, the one that the message made, and one made before mutt began",
  );

  for (const name of names) {
    await change(mutt, name);
    await mutt.status({ messages: 1, new: 1 });
    mutt.type("\r");
    await mutt.shows(/ line 0 of/);
    mutt.type("i");
    await change(mutt, alice.name);
    await mutt.shows(/<messages (?!1 )/);
    await listed(mutt, new RegExp(`\\[ \\] \\S*${name}\\s`));
  }
  t.pass("none of them after it was read");
  await deliverMail(hints, { id: "again" }, [made]);
  await listed(mutt, new RegExp(`\\[N\\] \\S*${made}\\s`));
  t.pass("again with the next message");
  await mutt.quit();
}

/** Opens another mailbox. */
async function change(mutt: Mutt, name: string): Promise<void> {
  mutt.type("c");
  await mutt.shows(/Open mailbox/);
  mutt.type(`\x15/var/mail/${name}\r`);
}

/** Waits until the list of mailboxes looks so, which mutt makes anew only when it is asked for. */
async function listed(mutt: Mutt, pattern: RegExp): Promise<void> {
  await eventually(`the list shows ${pattern}`, async () => {
    mutt.type("y");
    await mutt.shows(/Mutt: Mailboxes/);
    const isFound = pattern.test(mutt.terminal.screen);
    mutt.type("q");
    await mutt.status({});
    return isFound;
  });
}
