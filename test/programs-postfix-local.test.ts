/**
 * Postfix's local(8) and virtual(8) write into the mount at /var/mail, as the users and by each kind of lock, while
 * other mail comes to the same mailboxes: every message is there once and whole.
 */
import { writeFileSync } from "node:fs";
import t from "tap";
import type { TestContext } from "./suite/run.ts";
import { missingProgram, outputOf } from "./system/command.ts";
import { deliver, introduced } from "./system/deliveries.ts";
import { eventually, Harness, needs } from "./system/harness.ts";
import { deliverMail } from "./system/hint-mail.ts";
import type { HintClient } from "./system/hints.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import { MailUsers, type MailUser } from "./system/mail-users.ts";
import { mailText, wholeMails } from "./system/numbered-mail.ts";
import { missingPostfix, Postfix } from "./system/postfix.ts";
import { introduce, quit, send } from "./system/smtp-sending.ts";

t.setTimeout(600_000);
const missing = missingPostfix() ?? missingProgram("useradd", "unshare", "python3");
const options = missing === undefined ? needs("kernel", 400_000) : { skip: missing };
const LOCKS = ["fcntl", "dotlock", "flock"] as const;
const MAILS = 25;
const VIRTUAL = "vhosts/virtual.test/box";

await t.test("Postfix writes into the mount", options, async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const made = MailUsers.make(3, harness.mount.directory);
  t.teardown(() => made.remove());
  const [alice, bob, virtual] = made.users as [MailUser, MailUser, MailUser];
  const root = harness.program();
  const hints = await harness.hints(root);
  const spool = harness.mount.mountpoint;
  await outputOf(["chgrp", "mail", spool]);
  await root.call("os.makedirs", harness.path("vhosts/virtual.test"), 0o755);
  await outputOf(["chown", "-R", virtual.name, harness.path("vhosts")]);
  const postfix = await Postfix.start(
    {
      mydestination: "example.test",
      mail_spool_directory: "/var/mail",
      virtual_mailbox_domains: "virtual.test",
      virtual_mailbox_base: "/var/mail/vhosts",
      virtual_mailbox_maps: "inline:{box@virtual.test=virtual.test/box}",
      virtual_uid_maps: `static:${virtual.uid}`,
      virtual_gid_maps: `static:${virtual.gid}`,
      message_size_limit: "60000",
      mailbox_size_limit: "0",
      virtual_mailbox_limit: "0",
    },
    { varMail: spool },
  );
  t.teardown(() => postfix.end());
  const addresses = [...[alice, bob].map(address), "box@virtual.test"];
  const mailboxes = [alice.name, bob.name, VIRTUAL];
  const text = (name: string): Promise<string> => root.text(harness.path(name));

  await outputOf(["chmod", "2775", spool]);
  await sendThrough(postfix, addresses, ["first"]);
  await postfix.delivered();
  const { gid: mail } = await root.stat(spool);
  const owners = [
    { uid: alice.uid, gid: mail },
    { uid: bob.uid, gid: mail },
    { uid: virtual.uid, gid: virtual.gid },
  ];
  for (const [i, name] of mailboxes.entries()) {
    t.match(await root.stat(harness.path(name)), { mode: 0o100600, ...owners[i] }, `makes ${name}`);
  }

  const expected = ["first"];
  for (const lock of LOCKS) {
    for (const mode of ["2775", "1777"]) {
      await t.test(`with ${lock}, in a directory of mode ${mode}`, async (t) => {
        await outputOf(["chmod", mode, spool]);
        postfix.configure({ mailbox_delivery_lock: lock, virtual_mailbox_lock: lock });
        await postfix.reload();
        const ids = names(`${lock}-${mode}-postfix`);
        const hinted = names(`${lock}-${mode}-hint`);
        await Promise.all([
          sendThrough(postfix, addresses, ids),
          deliverAll(hints, hinted, mailboxes),
        ]);
        await postfix.delivered();
        expected.push(...ids, ...hinted);
        for (const name of mailboxes) await checkMailbox(t, text, name, expected, hinted);
      });
    }
  }
  t.strictSame(postfix.complaints, []);

  await t.test("Python reads as many messages", async (t) => {
    const script = "import mailbox, sys; print(len(mailbox.mbox(sys.argv[1], create=False)))";
    const command = ["python3", "-c", script, `/var/mail/${alice.name}`];
    const count = await outputOf(command, { user: alice.name, varMail: spool });
    t.equal(count, `${expected.length}\n`);
  });

  const expectedOfBob = [...expected];
  for (const way of ["mailbox_command", "~/.forward"]) {
    await t.test(`procmail as ${way}`, procmailOptions(), async (t) => {
      const command = way === "mailbox_command" ? "/usr/bin/procmail" : "";
      if (command === "") writeFileSync(`${bob.home}/.forward`, '"|exec /usr/bin/procmail"\n');
      postfix.configure({ mailbox_command: command });
      await postfix.reload();
      const ids = names(`procmail-${command === "" ? "forward" : "command"}`);
      const hinted = names(`${ids[0]}-hint`);
      await Promise.all([
        sendThrough(postfix, [address(bob)], ids),
        deliverAll(hints, hinted, [bob.name]),
      ]);
      await postfix.delivered();
      expectedOfBob.push(...ids, ...hinted);
      await checkMailbox(t, text, bob.name, expectedOfBob, hinted);
    });
  }

  await t.test("mailbox_size_limit holds, and the mailbox stays whole", async (t) => {
    postfix.configure({ mailbox_command: "", mailbox_size_limit: "60000" });
    await postfix.reload();
    await deliverMail(hints, { id: "fills", lines: 1_000 }, [virtual.name], {
      mode: 0o600,
      uid: virtual.uid,
      gid: virtual.gid,
    });
    const before = await text(virtual.name);
    t.ok(before.length > 40_000 && before.length < 60_000, `${before.length} bytes`);
    await sendThrough(postfix, [address(virtual)], ["too-much"], 800);
    const refusal = new RegExp(`to=<${virtual.name}@.* dsn=5\\.2\\.2, status=bounced`);
    await eventually("Postfix refuses", async () => refusal.test(postfix.log));
    t.ok((await text(virtual.name)) === before, "nothing of it is there");
    await deliverMail(hints, { id: "after" }, [virtual.name]);
    t.strictSame(wholeMails(await text(virtual.name)), ["fills", "after"]);
  });
});

const serverMissing = missing ?? missingForServer();
const serverOptions = serverMissing === undefined ? { timeout: 120_000 } : { skip: serverMissing };

await t.test("Postfix and the mail server fill the same mailboxes", serverOptions, async (t) => {
  const made = MailUsers.make(2, "/tmp");
  t.teardown(() => made.remove());
  const { users } = made;
  const server = await MailServer.start(t, {
    tables: { recipients: { users: "system", postmaster: users[0]!.name } },
  });
  await outputOf(["chgrp", "mail", server.mount]);
  await outputOf(["chmod", "2775", server.mount]);
  const postfix = await Postfix.start(
    { mydestination: "example.test", mail_spool_directory: "/var/mail", mailbox_size_limit: "0" },
    { varMail: server.mount },
  );
  t.teardown(() => postfix.end());
  const ours = { smtp: names("smtp"), lmtp: names("lmtp") };
  const theirs = names("postfix");
  const to = users.map(({ name }) => name);
  const serve = async (protocol: "smtp" | "lmtp"): Promise<void> => {
    const client = await introduced(server, protocol);
    for (const id of ours[protocol]) {
      const [, ...body] = mailText({ id }).split("\n\n");
      await deliver(client, { subject: `${id}\nX-Lines: 30`, to, body: body[0]!.split("\n") });
    }
  };
  await Promise.all([serve("smtp"), sendThrough(postfix, users.map(address), theirs)]);
  await postfix.delivered();
  const text = (name: string): Promise<string> => server.mailbox(name);
  for (const name of to) await checkMailbox(t, text, name, [...ours.smtp, ...theirs], ours.smtp);
});

function procmailOptions(): { skip?: string } {
  const reason = missingProgram("procmail");
  return reason === undefined ? {} : { skip: reason };
}

function address({ name }: MailUser): string {
  return `${name}@example.test`;
}

function names(word: string): string[] {
  return Array.from({ length: MAILS }, (_, i) => `${word}-${i}`);
}

function sorted(ids: readonly string[]): string[] {
  return ids.toSorted();
}

async function sendThrough(
  postfix: Postfix,
  to: readonly string[],
  ids: readonly string[],
  lines = 30,
): Promise<void> {
  const client = await postfix.connect();
  await introduce(client);
  for (const id of ids) {
    await send(client, { from: "ann@example.org", to, text: mailText({ id, lines }) });
  }
  await quit(client);
}

async function deliverAll(
  hints: HintClient,
  ids: readonly string[],
  mailboxes: readonly string[],
): Promise<void> {
  for (const id of ids) await deliverMail(hints, { id }, mailboxes);
}

/** Deliveries by hint also keep their order. A last one may still pend for a moment. */
async function checkMailbox(
  t: TestContext,
  text: (name: string) => Promise<string>,
  name: string,
  expected: readonly string[],
  inOrder: readonly string[],
): Promise<void> {
  let found: string[] = [];
  await eventually("all mail shows", async () => {
    found = wholeMails(await text(name));
    return found.length >= expected.length;
  });
  t.strictSame(sorted(found), sorted(expected), name);
  t.strictSame(
    found.filter((id) => inOrder.includes(id)),
    inOrder,
    `${name}: in order`,
  );
}
