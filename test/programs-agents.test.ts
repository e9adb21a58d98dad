/**
 * Delivery agents and what goes with them, as the users of /var/mail: procmail, maildrop, formail and lockfile. Mail
 * that comes to the same mailboxes by hint meanwhile neither waits for their locks nor lands in their messages.
 */
import t from "tap";
import { Agents } from "./system/agents.ts";
import { missingProgram, outputOf, run } from "./system/command.ts";
import { eventually, Harness, needs } from "./system/harness.ts";
import { deliverMail } from "./system/hint-mail.ts";
import { MailUsers } from "./system/mail-users.ts";
import { mailText, wholeMails } from "./system/numbered-mail.ts";

t.setTimeout(240_000);
const missing = missingProgram("useradd", "unshare", "setpriv");
const options = missing === undefined ? needs("kernel", 200_000) : { skip: missing };
const MAILS = 15;
/** The From_ line with which an agent gets a message from the MTA. */
const FROM_LINE = "From ann@example.org Thu Jan  1 00:00:00 2026\n";

await t.test("delivery agents", options, async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const made = MailUsers.make(1, harness.mount.directory);
  t.teardown(() => made.remove());
  const alice = made.users[0]!;
  const root = harness.program();
  const hints = await harness.hints(root);
  const spool = harness.mount.mountpoint;
  await outputOf(["chgrp", "mail", spool]);
  await outputOf(["chmod", "3777", spool]);
  const agents = new Agents(alice, spool);

  for (const [name, deliver] of Object.entries(agents.ways)) {
    const [program] = name.split(" ");
    await t.test(name, needsProgram(program!), async (t) => {
      await root.writeFile(harness.path(alice.name), "");
      await root.call("os.chown", harness.path(alice.name), alice.uid, alice.gid);
      await root.call("os.chmod", harness.path(alice.name), 0o600);
      const theirs = ids(`${program}-`);
      const hinted = ids("hint-");
      await Promise.all([
        inTurn(theirs, (id) => deliver(FROM_LINE + mailText({ id }))),
        inTurn(hinted, (id) => deliverMail(hints, { id }, [alice.name])),
      ]);
      let found: string[] = [];
      await eventually("all mail shows", async () => {
        found = wholeMails(await root.text(harness.path(alice.name)));
        return found.length >= 2 * MAILS;
      });
      t.strictSame(found.toSorted(), [...theirs, ...hinted].toSorted());
      for (const own of [theirs, hinted]) {
        t.strictSame(
          found.filter((id) => own.includes(id)),
          own,
          "in order",
        );
      }
    });
  }

  await t.test("two agents at once", needsProgram("procmail", "maildrop"), async (t) => {
    await root.writeFile(harness.path(alice.name), "");
    const both = ["procmail -d", "maildrop -d"] as const;
    await Promise.all(
      both.map((way) =>
        inTurn(ids(`${way.split(" ")[0]}-`), (id) =>
          agents.ways[way]!(FROM_LINE + mailText({ id })),
        ),
      ),
    );
    const found = wholeMails(await root.text(harness.path(alice.name)));
    t.strictSame(found.toSorted(), [...ids("maildrop-"), ...ids("procmail-")].toSorted());
  });

  await t.test("formail -s splits a mailbox of the mount", needsProgram("formail"), async (t) => {
    const count = wholeMails(await root.text(harness.path(alice.name))).length;
    const command = `formail -s sh -c 'cat > /var/mail/split.$FILENO' < /var/mail/${alice.name}`;
    await agents.asUser(["sh", "-c", command]);
    const names = (await root.list(spool)).filter((name) => name.startsWith("split."));
    const texts = await Promise.all(names.map((name) => root.text(harness.path(name))));
    t.strictSame(
      texts.map((text) => wholeMails(text).length),
      Array.from({ length: count }, () => 1),
    );
  });

  await t.test("lockfile holds deliveries back", needsProgram("lockfile"), async (t) => {
    const lock = `/var/mail/${alice.name}.lock`;
    await agents.asUser(["lockfile", "-r0", lock]);
    const second = await run(["lockfile", "-r0", lock], agents.place);
    t.not(second.code, 0, "nobody else gets the lock");
    const before = await root.text(harness.path(alice.name));
    await deliverMail(hints, { id: "held" }, [alice.name]);
    t.equal(await root.text(harness.path(alice.name)), before);
    await agents.asUser(["rm", "-f", lock]);
    await eventually("the mail shows", async () =>
      wholeMails(await root.text(harness.path(alice.name))).includes("held"),
    );
  });
});

function needsProgram(...programs: readonly string[]): { skip?: string } {
  const reason = missingProgram(...programs);
  return reason === undefined ? {} : { skip: reason };
}

function ids(word: string): string[] {
  return Array.from({ length: MAILS }, (_, i) => `${word}${i}`);
}

async function inTurn(
  names: readonly string[],
  deliver: (id: string) => Promise<unknown>,
): Promise<void> {
  for (const name of names) await deliver(name);
}
