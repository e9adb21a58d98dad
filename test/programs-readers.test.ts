/**
 * Programs that read and rewrite mailboxes without being told what they stand on: s-nail, Python's mailbox, an
 * editor and the tools of a shell.
 */
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import type { TestContext } from "./suite/run.ts";
import { missingProgram, outputOf } from "./system/command.ts";
import { FilledSpool } from "./system/filled-spool.ts";
import { eventually, Harness, needs } from "./system/harness.ts";
import { storedBytes } from "./system/hint-mail.ts";
import { MailUsers, type MailUser } from "./system/mail-users.ts";
import { mailText } from "./system/numbered-mail.ts";
import { Terminal } from "./system/terminal.ts";

t.setTimeout(240_000);
const missing = missingProgram("useradd", "unshare", "setpriv");
const options = missing === undefined ? needs("kernel", 200_000) : { skip: missing };
const { ids } = FilledSpool;
const pythonRemoves = `
import mailbox, sys
box = mailbox.mbox(sys.argv[1], create=False)
for _ in range(8):
    box.lock()
    key = box.keys()[0]
    print(box[key]["Subject"], flush=True)
    box.remove(key)
    box.flush()
    box.unlock()
    box.close()
    box = mailbox.mbox(sys.argv[1], create=False)
`;
const pythonAdds = `
import mailbox, sys
box = mailbox.mbox(sys.argv[1])
box.lock()
box.add(sys.stdin.buffer.read())
box.flush()
box.unlock()
print(len(box))
`;

await t.test("programs that read and rewrite", options, async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const made = MailUsers.make(2, harness.mount.directory);
  t.teardown(() => made.remove());
  const [alice, bob] = made.users as [MailUser, MailUser];
  const hints = await harness.hints(harness.program());
  const varMail = harness.mount.mountpoint;
  await outputOf(["chgrp", "mail", varMail]);
  await outputOf(["chmod", "3777", varMail]);
  const { name, home } = alice;
  const place = { user: name, varMail, environment: { HOME: home, USER: name, LOGNAME: name } };
  const spool = new FilledSpool(hints, place, alice, bob);
  const test = (what: string, program: string, check: Check): Promise<unknown> => {
    const reason = missingProgram(program);
    return t.test(what, reason === undefined ? {} : { skip: reason }, async (t) => {
      await spool.fill();
      await check(t, spool);
    });
  };
  await test("s-nail deletes", "s-nail", nailDeletes);
  await test("s-nail keeps what it sends", "s-nail", nailRecords);
  await test("Python's mailbox removes while mail comes", "python3", pythonRewrites);
  await test("Python's mailbox adds", "python3", pythonAppends);
  await test("tail -f sees deliveries", "tail", tailFollows);
  await test("grep, cp and mv", "grep", copies);
  await test("sed -i puts a new file in its place", "sed", sedEdits);
  await test("vim writes a mailbox", "vim", vimEdits);
  await test("a mailbox is emptied by the shell", "sh", empties);
});

type Check = (t: TestContext, spool: FilledSpool) => Promise<void>;

async function nailDeletes(t: TestContext, spool: FilledSpool): Promise<void> {
  const before = { stored: await storedBytes(spool.hints), bob: await spool.bobs() };
  const command = ["s-nail", "-n", "-#", "-f", spool.mailbox];
  await spool.run(command, "type 1\ndelete 3 7\nflag 2\nquit\n");
  const left = ids.filter((_, i) => i !== 2 && i !== 6);
  t.strictSame(await spool.mails(), left);
  t.match(await spool.read(), /^Status: RO$/m);
  t.ok((await spool.bobs()) === before.bob, "the other mailbox is as it was");
  // It empties the file before it writes it anew: what it wrote as it was is shared as it was.
  const growth = (await storedBytes(spool.hints)) - before.stored;
  const size = (await spool.read()).length;
  t.ok(growth <= size / 20, `${growth} of ${size} bytes became private`);
}

async function nailRecords(t: TestContext, spool: FilledSpool): Promise<void> {
  const sent = `${spool.mailbox}.sent`;
  for (const subject of ["one", "two"]) {
    const command = [
      "s-nail",
      "-n",
      "-S",
      "mta=/bin/true",
      "-S",
      `record=${sent}`,
      "-S",
      "sendwait",
    ];
    await spool.run([...command, "-s", subject, "bob@example.test"], `text of ${subject}\n`);
  }
  const text = await spool.read(sent);
  t.strictSame(text.match(/^Subject: .*$/gm), ["Subject: one", "Subject: two"]);
  t.equal(text.match(/^From /gm)?.length, 2);
}

async function pythonRewrites(t: TestContext, spool: FilledSpool): Promise<void> {
  const python = spool.run(["python3", "-c", pythonRemoves, spool.mailbox]);
  const delivered: string[] = [];
  const load = { isOver: false };
  const end = (): void => {
    load.isOver = true;
  };
  python.then(end, end);
  while (!load.isOver) {
    const id = `meanwhile-${delivered.length}`;
    await spool.deliver(id);
    delivered.push(id);
    await sleep(50);
  }
  const removed = (await python).trim().split("\n");
  t.strictSame(removed, ids.slice(0, 8));
  t.comment(`${delivered.length} deliveries`);
  const left = [...ids.slice(8), ...delivered];
  await eventually("the last one shows", async () => (await spool.mails()).length >= left.length);
  t.strictSame(await spool.mails(), left);
}

async function pythonAppends(t: TestContext, spool: FilledSpool): Promise<void> {
  const message = mailText({ id: "added" });
  const count = await spool.run(["python3", "-c", pythonAdds, spool.mailbox], message);
  t.equal(count, `${ids.length + 1}\n`);
  await spool.deliver("behind");
  t.strictSame(await spool.mails(), [...ids, "added", "behind"]);
}

async function tailFollows(t: TestContext, spool: FilledSpool): Promise<void> {
  for (const [id, way] of [
    ["with-events", []],
    ["without-events", ["---disable-inotify", "-s", "0.1"]],
  ] as const) {
    const tail = Terminal.start(["tail", ...way, "-n", "3", "-f", spool.mailbox], spool.place);
    t.teardown(() => tail.end());
    await tail.shows(/ ends/);
    await spool.deliver(id);
    await tail.shows(new RegExp(`${id} ends`));
    await tail.end();
  }
  t.pass();
}

async function copies(t: TestContext, spool: FilledSpool): Promise<void> {
  t.equal(await spool.sh(`grep -c '^From ' "$0"`), `${ids.length}\n`);
  await spool.sh(`cp -p "$0" "$0.copy" && cmp "$0" "$0.copy"`);
  await spool.sh(`cp -p "$0" ~/outside && cmp "$0" ~/outside`);
  await spool.sh(`mv "$0" "$0.moved"`);
  t.strictSame(await spool.mails(`${spool.mailbox}.moved`), ids);
  t.strictSame(await spool.mails(`${spool.mailbox}.copy`), ids);
  await spool.sh(`mv ~/outside "$0"`);
  await spool.deliver("back");
  t.strictSame(await spool.mails(), [...ids, "back"]);
}

async function sedEdits(t: TestContext, spool: FilledSpool): Promise<void> {
  await spool.sh(`sed -i 's/^Subject: mail-3$/Subject: mail-three/' "$0"`);
  t.match(await spool.read(), /^Subject: mail-three$/m);
  await spool.sh(`sed -i 's/^Subject: mail-three$/Subject: mail-3/' "$0"`);
  await spool.deliver("behind");
  t.strictSame(await spool.mails(), [...ids, "behind"]);
}

async function vimEdits(t: TestContext, spool: FilledSpool): Promise<void> {
  const vim = (copy: string, from: string, to: string): Promise<string> => {
    const commands = [`set backupcopy=${copy} noswapfile`, `%s/^Subject: ${from}$/Subject: ${to}/`];
    return spool.run(
      [
        "vim",
        "-u",
        "NONE",
        "-i",
        "NONE",
        "-es",
        ...commands.flatMap((line) => ["-c", line]),
      ].concat(["-c", "wq", spool.mailbox]),
    );
  };
  // With a back-up that is a copy it writes in place, else it puts a new file there.
  await vim("yes", "mail-3", "mail-three");
  t.match(await spool.read(), /^Subject: mail-three$/m);
  await vim("no", "mail-three", "mail-3");
  await spool.deliver("behind");
  t.strictSame(await spool.mails(), [...ids, "behind"]);
}

async function empties(t: TestContext, spool: FilledSpool): Promise<void> {
  await spool.sh(`: > "$0"`);
  t.equal(await spool.read(), "");
  await spool.deliver("first");
  t.strictSame(await spool.mails(), ["first"]);
  await spool.sh(`cp "$0" "$0.1" && truncate -s 0 "$0"`);
  await spool.deliver("second");
  t.strictSame(await spool.mails(), ["second"]);
  t.strictSame(await spool.mails(`${spool.mailbox}.1`), ["first"]);
}
