/**
 * Folders of a user in the mount, made and used over IMAP: Dovecot keeps each in an mbox file of its own and makes
 * directories for the levels above. Also what a copy within them costs: its bytes come as plain writes, so it is
 * shared with nothing.
 */
import type { ImapFlow } from "imapflow";
import t from "tap";
import { command, onespool, run } from "./cli-process.ts";
import type { TestContext } from "./suite/run.ts";
import { readCorpus } from "./system/corpus.ts";
import { Dovecot, missingDovecot } from "./system/dovecot.ts";
import { Harness } from "./system/harness.ts";
import { withImap } from "./system/imap-sessions.ts";
import { messagesOf } from "./system/mailbox-file.ts";
import { missing } from "./system/mount.ts";

const TEST_MS_MAX = 300_000;
const OWNER = 2000;
const USER = "alice";
const FOLDERS = 200;
const ODD_NAMES = [
  "Entwürfe & Ähnliches",
  "with blanks in it",
  " leading and trailing ",
  "& alone &-",
  "日本語の箱",
  "emoji 📬",
  'quote"s and back\\slash',
  "{literal}%",
  "dots.in.it",
  "a~tilde",
  "x".repeat(200),
];

t.setTimeout(TEST_MS_MAX);
const skip = missing("kernel") ?? missingDovecot();
const options = { timeout: TEST_MS_MAX, ...(skip === undefined ? {} : { skip }) };

await t.test("folders over IMAP", options, async (t) => {
  const harness = await Harness.start(t, { binding: "kernel" });
  const program = harness.program();
  await program.call("os.chown", harness.mount.mountpoint, OWNER, OWNER);
  const dovecot = await Dovecot.start({ mail: harness.mount.mountpoint, uid: OWNER, gid: OWNER });
  t.teardown(() => dovecot.end());
  const session = <T>(work: (client: ImapFlow) => Promise<T>): Promise<T> =>
    withImap(dovecot, USER, work);

  await t.test("200 folders are made, listed and counted", (t) =>
    session(async (client) => {
      const names = Array.from({ length: FOLDERS }, (_, i) => `folder ${i + 1}`);
      for (const name of names) await client.mailboxCreate(name);
      t.strictSame(await listed(client), ["INBOX", ...names].toSorted());
      for (const name of names) {
        const status = await client.status(name, { messages: true, uidNext: true });
        if (status === false || status.messages !== 0) t.fail(`${name} is not empty`);
      }
    }),
  );

  await t.test("odd names", (t) => session((client) => oddNames(t, client)));
  await t.test("nested folders", (t) => session((client) => nested(t, client)));
  await t.test("messages move with their folder", (t) => session((client) => messages(t, client)));
  await t.test("copies and moves", async (t) => {
    const before = await storedBytes(harness);
    const copied = await session((client) => copies(t, client));
    const cost = (await storedBytes(harness)) - before;
    t.comment(`${copied} bytes were appended, copied and copied again: ${cost} bytes are stored`);
    const [first, second, third] = await Promise.all(
      ["from", "to", "again"].map(async (name) =>
        messagesOf(await program.readFile(harness.path(`${USER}.folders/copies/${name}`))),
      ),
    );
    const content = (all: ReturnType<typeof messagesOf>): string[] =>
      all.map(({ contentHash }) => contentHash);
    t.strictSame(content(second!), content(first!), "copies are equal");
    t.strictSame(content(third!), content(first!), "and so are copies that were moved");
  });

  await t.test("all are deleted", (t) =>
    session(async (client) => {
      // Those below others first.
      for (const name of (await listed(client)).toReversed()) {
        if (name !== "INBOX") await client.mailboxDelete(name);
      }
      t.strictSame(await listed(client), ["INBOX"]);
    }),
  );
  const left = await program.list(harness.path(`${USER}.folders`));
  t.strictSame(
    left.filter((name) => !name.startsWith(".")),
    [],
    "no file is left",
  );

  t.strictSame(dovecot.complaints, [], "Dovecot's log");
  await dovecot.end();
  await harness.mount.stop();
  const { code, stdout, stderr } = await onespool("fsck", harness.mount.store);
  t.equal(code, 0, `fsck: ${stdout}${stderr}`);
});

async function listed(client: ImapFlow): Promise<string[]> {
  return (await client.list()).map(({ path }) => path).toSorted();
}

async function storedBytes(harness: Harness): Promise<number> {
  const { mountpoint } = harness.mount;
  const { stdout } = await run(process.execPath, command, "stat", mountpoint, "--json");
  return (JSON.parse(stdout) as { storedBytes: number }).storedBytes;
}

function text(subject: string): string {
  return `From: ann@example.org\r\nSubject: ${subject}\r\n\r\ntext of ${subject}\r\n`;
}

async function oddNames(t: TestContext, client: ImapFlow): Promise<void> {
  for (const name of ODD_NAMES) {
    await client.mailboxCreate(name);
    await client.append(name, text("odd"));
    await client.mailboxSubscribe(name);
  }
  const all = await client.list();
  for (const name of ODD_NAMES) {
    const entry = all.find(({ path }) => path === name);
    t.equal(entry?.subscribed, true, `${name} is there and subscribed`);
    const status = await client.status(name, { messages: true });
    t.equal(status === false ? undefined : status.messages, 1, `${name} has one message`);
  }
  for (const [i, name] of ODD_NAMES.entries()) {
    await client.mailboxRename(name, `plain ${i}`);
    await client.mailboxRename(`plain ${i}`, name);
    await client.mailboxUnsubscribe(name);
  }
  for (const name of ODD_NAMES) {
    const { exists } = await client.mailboxOpen(name);
    t.equal(exists, 1, `${name} was renamed and back`);
    await client.mailboxClose();
    await client.mailboxDelete(name);
  }
}

async function nested(t: TestContext, client: ImapFlow): Promise<void> {
  await client.mailboxCreate("tree/branch/twig/leaf");
  await client.mailboxCreate("tree/branch/other");
  await client.append("tree/branch/twig/leaf", text("deep"));
  await client.mailboxRename("tree/branch", "grafted");
  const names = await listed(client);
  t.ok(names.includes("grafted/twig/leaf"), "what was below moved too");
  t.ok(names.includes("grafted/other"));
  t.notOk(names.includes("tree/branch/other"));
  t.equal((await client.mailboxOpen("grafted/twig/leaf")).exists, 1);
  await client.mailboxClose();
  await client.mailboxDelete("grafted/twig/leaf");
  t.notOk((await listed(client)).includes("grafted/twig/leaf"));
}

async function messages(t: TestContext, client: ImapFlow): Promise<void> {
  await client.mailboxCreate("before");
  for (let number = 1; number <= 20; number++) await client.append("before", text(`no ${number}`));
  await client.mailboxOpen("before");
  await client.messageFlagsAdd("1:10", ["\\Seen", "\\Flagged", "keyword"]);
  await client.messageDelete("5,15");
  const uids = (await client.fetchAll("1:*", { uid: true })).map(({ uid }) => uid);
  await client.mailboxClose();
  await client.mailboxRename("before", "after");
  await client.mailboxOpen("after");
  const found = await client.fetchAll("1:*", { uid: true, flags: true, envelope: true });
  t.strictSame(
    found.map(({ uid }) => uid),
    uids,
    "UIDs stay",
  );
  t.strictSame(
    found.map(({ envelope }) => envelope?.subject),
    Array.from({ length: 20 }, (_, i) => `no ${i + 1}`).filter((_, i) => i !== 4 && i !== 14),
  );
  t.equal(found.filter(({ flags }) => flags?.has("keyword")).length, 9, "and so do keywords");
  await client.mailboxClose();
}

/** Returns the bytes that were appended. */
async function copies(t: TestContext, client: ImapFlow): Promise<number> {
  const corpus = readCorpus(50).messages;
  for (const name of ["copies/from", "copies/to", "copies/moved", "copies/again"]) {
    await client.mailboxCreate(name);
  }
  let bytes = 0;
  for (const message of corpus) {
    const crlf = Buffer.from(message.bytes.toString("latin1").replaceAll("\n", "\r\n"), "latin1");
    await client.append("copies/from", crlf);
    bytes += message.bytes.length;
  }
  await client.mailboxOpen("copies/from");
  t.not(await client.messageCopy("1:*", "copies/to"), false);
  t.not(await client.messageCopy("1:*", "copies/moved"), false);
  await client.mailboxOpen("copies/moved");
  t.not(await client.messageMove("1:*", "copies/again"), false);
  await client.mailboxClose();
  const counts: number[] = [];
  for (const name of ["copies/from", "copies/to", "copies/moved", "copies/again"]) {
    const status = await client.status(name, { messages: true });
    counts.push(status === false ? -1 : status.messages!);
  }
  t.strictSame(counts, [corpus.length, corpus.length, 0, corpus.length]);
  return bytes;
}
