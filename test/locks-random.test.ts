/**
 * Dovecot, mutt and Python's mailbox work on a mailbox each, as fast as they can; procmail appends to all of them,
 * and mail is delivered to all of them. In the end every message that was acknowledged is there once, unless a
 * program removed it that had seen it. (Dovecot and Python's mailbox on one mailbox do not go together on a plain
 * directory either: Dovecot complains and loses flags when somebody renames a rewritten mailbox over the old.)
 */
import type { ImapFlow } from "imapflow";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { onespool } from "./cli-process.ts";
import { randomFrom } from "./movers.ts";
import { environmentOf, missingProgram, prepared, run } from "./system/command.ts";
import { Dovecot, missingDovecot } from "./system/dovecot.ts";
import { loggedIn } from "./system/imap-sessions.ts";
import { LockSite, type Way } from "./system/lock-site.ts";
import { MailUsers, type MailUser } from "./system/mail-users.ts";
import { missingForServer } from "./system/mail-server.ts";
import { Mutt } from "./system/mutt.ts";
import { mailText } from "./system/numbered-mail.ts";
import { sourcePath } from "./system/source.ts";

const durationMs = process.env["ONESPOOL_LONG"] === "1" ? 300_000 : 20_000;
const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/locks-random.test.js has the same pauses`);
t.setTimeout(durationMs + 150_000);
const skip =
  missingForServer() ?? missingDovecot() ?? missingProgram("mutt", "procmail", "python3");

/** Which program works on which mailbox, besides procmail, which appends to all. */
const boxes = { imap: "user1", python: "user2", mutt: "user3" } as const;

/** The end of a subject says whether the message may be removed, or flagged over IMAP; most stay as they are. */
const suffixes = ["-gone", "-gone", "-flag", "", ""] as const;

/** What has happened so far. */
class Ledger {
  /** By mailbox, in the order in which each sender got its replies. */
  readonly acknowledged: Record<string, string[]> = { user1: [], user2: [], user3: [] };
  readonly removed: Record<string, Set<string>> = { user1: new Set(), user2: new Set() };
  readonly flagged = new Set<string>();
  isDone = false;
}

async function deliverAll(site: LockSite, ways: readonly Way[], ledger: Ledger): Promise<void> {
  const random = randomFrom(seed + ways.length);
  for (let n = 0; !ledger.isDone; n++) {
    const box = Object.values(boxes)[n % 3]!;
    const id = `${ways.join("")}-${n}${suffixes[n % suffixes.length]!}`;
    await site.deliver(ways[n % ways.length]!, id, box);
    ledger.acknowledged[box]!.push(id);
    await sleep(random() * 40);
  }
}

async function withSession<T>(
  dovecot: Dovecot,
  user: string,
  use: (client: ImapFlow) => Promise<T>,
): Promise<T> {
  const client = await loggedIn(dovecot, user);
  try {
    await client.mailboxOpen("INBOX");
    return await use(client);
  } finally {
    await client.logout();
  }
}

/** UIDs by subject. */
async function subjectsOf(client: ImapFlow): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for await (const { uid, envelope } of client.fetch("1:*", { envelope: true })) {
    found.set(envelope!.subject!, uid);
  }
  return found;
}

async function workOverImap(dovecot: Dovecot, ledger: Ledger): Promise<void> {
  const box = boxes.imap;
  while (!ledger.isDone) {
    await withSession(dovecot, box, async (client) => {
      for (let i = 0; i < 4 && !ledger.isDone; i++) {
        await client.noop();
        const mine = [...(await subjectsOf(client))].filter(([id]) => !ledger.flagged.has(id));
        const gone = mine.filter(([id]) => id.endsWith("-gone")).slice(0, 4);
        const flagged = mine.filter(([id]) => id.endsWith("-flag")).slice(0, 4);
        const uid = { uid: true };
        const uids = (list: typeof mine): string => list.map((one) => one[1]).join();
        if (flagged.length > 0) {
          await client.messageFlagsAdd(uids(flagged), ["\\Flagged", "$Work"], uid);
          for (const [id] of flagged) ledger.flagged.add(id);
        }
        if (gone.length > 0) {
          await client.messageDelete(uids(gone), uid);
          for (const [id] of gone) ledger.removed[box]!.add(id);
        }
      }
    });
  }
}

async function workWithPython(site: LockSite, user: MailUser, ledger: Ledger): Promise<void> {
  const options = { user: user.name };
  const script = sourcePath("test/system/remover.py");
  const [program, ...args] = prepared(
    ["/usr/bin/python3", "-S", "-E", script, site.path(boxes.python), "-gone"],
    options,
  );
  const env = environmentOf(options);
  const child = spawn(program!, args, { cwd: "/", env, stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("latin1").on("data", (text: string) => (output += text));
  const closed = once(child, "close");
  const timer = setTimeout(() => child.kill("SIGKILL"), durationMs + 60_000);
  while (!ledger.isDone) await sleep(50);
  child.stdin.end();
  const [code] = (await closed) as [number | null];
  clearTimeout(timer);
  if (code !== 0) throw new Error(`remover.py ended with ${code}`);
  for (const id of output.trim().split("\n")) ledger.removed[boxes.python]!.add(id);
}

/** Where it gets no lock it asks whether to remove that of the others, and is told not to. */
async function workWithMutt(site: LockSite, user: MailUser, ledger: Ledger): Promise<void> {
  const keys = "<delete-pattern>~s -gone$<enter><sync-mailbox><exit>";
  const lines = [`set tmpdir=${user.home}`, `push "${keys}"`];
  while (!ledger.isDone) {
    const mutt = Mutt.start({ mailbox: site.path(boxes.mutt), lines }, { user: user.name });
    try {
      // It may be writing, so it is not killed; what is typed comes behind what is pushed.
      const ended = mutt.terminal.ended().then(() => true);
      while (!(await Promise.race([ended, sleep(300, false)]))) {
        mutt.type(mutt.terminal.screen.includes("remove lock for") ? "n" : "\x07x");
      }
    } finally {
      await mutt.end();
    }
    await sleep(200);
  }
}

async function workWithProcmail(site: LockSite, user: MailUser, ledger: Ledger): Promise<void> {
  for (let n = 0; !ledger.isDone; n++) {
    const box = Object.values(boxes)[n % 3]!;
    const command = ["procmail", "-f", "ann@example.org", "-p", "LOCKSLEEP=1"];
    command.push(`DEFAULT=${site.path(box)}`);
    const id = `procmail-${n}${suffixes[n % suffixes.length]!}`;
    const input = mailText({ id });
    // It makes a mailbox in /var/mail, whatever its own is.
    const place = { user: user.name, varMail: site.server.mount };
    const { code } = await run([...command, "/dev/null"], { ...place, input });
    if (code === 0) ledger.acknowledged[box]!.push(id);
    await sleep(50);
  }
}

await t.test("everybody at once", skip === undefined ? {} : { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "onespool-locks-"));
  chmodSync(directory, 0o755);
  const users = MailUsers.make(1, directory);
  t.teardown(() => {
    users.remove();
    rmSync(directory, { recursive: true, force: true });
  });
  const user = users.users[0]!;
  const site = await LockSite.start(t, user);
  const dovecot = await Dovecot.start({
    mail: site.server.mount,
    uid: user.uid,
    gid: user.gid,
    protocols: ["imap"],
    // procmail waits for ever with its dotlock in hand, so others must not do so without. A session that has said goodbye
    // may still be at work when the next one begins, so the settings for several sessions are on (docs/DOVECOT.md).
    settings: {
      mbox_write_locks: "dotlock fcntl",
      mbox_dirty_syncs: "no",
      mbox_lazy_writes: "no",
    },
  });
  t.teardown(() => dovecot.end());
  const ledger = new Ledger();
  for (const box of Object.values(boxes)) {
    await site.fill(box, ["first"]);
    ledger.acknowledged[box]!.push("first");
  }

  const work = [
    deliverAll(site, ["smtp"], ledger),
    deliverAll(site, ["hint", "lmtp"], ledger),
    workOverImap(dovecot, ledger),
    workWithPython(site, user, ledger),
    workWithMutt(site, user, ledger),
    workWithProcmail(site, user, ledger),
  ];
  try {
    await Promise.race([...work, sleep(durationMs)]);
  } finally {
    ledger.isDone = true;
    await Promise.allSettled(work);
  }
  await Promise.all(work);
  await site.nothingPends();

  for (const [program, box] of Object.entries(boxes)) {
    await t.test(`the mailbox of ${program}`, async (t) => {
      const acknowledged = ledger.acknowledged[box]!;
      const present = await site.ids(box);
      const there = new Set(present);
      const gone = acknowledged.filter((id) => !there.has(id));
      t.comment(`${acknowledged.length} acknowledged, ${gone.length} of them removed`);
      t.equal(there.size, present.length, "nothing is there twice");
      t.ok(gone.length > 0, "the program has removed some");
      // mutt does not say what it removes.
      const removed = ledger.removed[box] ?? new Set(gone.filter((id) => id.endsWith("-gone")));
      t.strictSame(new Set(gone), removed, "what was removed is gone, and nothing is lost");
      for (const sender of ["smtp-", "hintlmtp-", "procmail-"]) {
        const mine = (ids: readonly string[]): string[] =>
          ids.filter((id) => id.startsWith(sender));
        const expected = mine(acknowledged).filter((id) => there.has(id));
        t.strictSame(mine(present), expected, `${sender} in the order of its deliveries`);
      }
    });
  }

  await withSession(dovecot, boxes.imap, async (client) => {
    const found: string[] = [];
    for await (const { envelope, flags } of client.fetch("1:*", { envelope: true, flags: true })) {
      if (flags!.has("\\Flagged") && flags!.has("$Work")) found.push(envelope!.subject!);
    }
    t.strictSame(found.toSorted(), [...ledger.flagged].toSorted(), "flags are as they were set");
  });
  t.strictSame(dovecot.complaints, []);
  await dovecot.stop();
  t.equal(await site.server.stop(), 0);
  const { code, stdout } = await onespool("fsck", site.server.path("store"));
  t.equal(code, 0, stdout);
});
