/**
 * What remains shared after Dovecot has worked on the mailboxes. Messages with their real headers come in through the
 * mail server, each to all mailboxes; IMAP and POP3 clients read, flag, expunge, copy and delete. Then the store
 * itself tells which bytes are still shared. With ONESPOOL_LONG=1 500 messages go to 50 mailboxes.
 */
import type { ImapFlow } from "imapflow";
import t from "tap";
import { formatShared } from "../fs/mbox/format.ts";
import { command, onespool, run } from "./cli-process.ts";
import { Program } from "./suite/program.ts";
import type { TestContext } from "./suite/run.ts";
import { type CorpusMessage, readCorpus } from "./system/corpus.ts";
import { introduced } from "./system/deliveries.ts";
import { Dovecot, missingDovecot } from "./system/dovecot.ts";
import { eachInbox, withImap } from "./system/imap-sessions.ts";
import { hashOf, messagesOf, type StoredMessage } from "./system/mailbox-file.ts";
import { MailServer, missingForServer } from "./system/mail-server.ts";
import { sharedBytes, sharingOf } from "./system/sharing.ts";
import { Writes } from "./system/writes.ts";

const isLong = process.env["ONESPOOL_LONG"] === "1";
const TEST_MS_MAX = isLong ? 1_200_000 : 240_000;
const OWNER = 2000;
const FOLDER = "Archive";
/** Of each busy mailbox: 50 and 20 in all where five are busy. */
const COPIES = 10;
const POP3_DELETIONS = 4;
/** Dovecot writes flags over the room in a header, which is less. */
const FLAG_BYTES_MAX = 256;

const POP3_CLIENT = `
import poplib, sys
port, user, deletions = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
client = poplib.POP3("127.0.0.1", port, timeout=60)
client.user(user)
client.pass_("any")
count, _ = client.stat()
for number in range(count - 2 * deletions + 1, count + 1, 2):
    client.retr(number)
    client.dele(number)
client.quit()
`;

interface Variant {
  readonly name: string;
  readonly messages: number;
  readonly mailboxes: number;
  /** Mailboxes of which messages are copied, and in which a POP3 client deletes. */
  readonly busy: number;
  readonly isLong?: boolean;
  readonly losesIndexes?: boolean;
  readonly settings?: Readonly<Record<string, string>>;
}

const large = isLong
  ? { messages: 500, mailboxes: 50, busy: 5 }
  : { messages: 100, mailboxes: 20, busy: 5 };
const small = { messages: 60, mailboxes: 5, busy: 1 };
const variants: readonly Variant[] = [
  { name: "as it is", ...large },
  { name: "whose indexes are lost in the middle", ...(isLong ? large : small), losesIndexes: true },
  {
    name: "that puts off no write",
    ...small,
    isLong: true,
    settings: { mbox_lazy_writes: "no" },
  },
  {
    name: "that reads everything again",
    ...small,
    isLong: true,
    settings: { mbox_dirty_syncs: "no" },
  },
  {
    name: "that reads hardly anything",
    ...small,
    isLong: true,
    settings: { mbox_very_dirty_syncs: "yes" },
  },
];

t.setTimeout(variants.length * TEST_MS_MAX);
const skip = missingForServer() ?? missingDovecot();
for (const variant of variants) {
  const reason = variant.isLong === true && !isLong ? "only with ONESPOOL_LONG=1" : skip;
  const options = { timeout: TEST_MS_MAX, ...(reason === undefined ? {} : { skip: reason }) };
  await t.test(`sharing survives a Dovecot ${variant.name}`, options, (t) => survives(t, variant));
}

interface Scene {
  readonly t: TestContext;
  readonly names: readonly string[];
  readonly busy: readonly string[];
  readonly count: number;
  readonly server: MailServer;
  readonly dovecot: Dovecot;
  readonly writes: Writes;
  readonly program: Program;
}

/** What a mailbox must have, by the mailbox's name. */
type Mailboxes = Map<string, readonly StoredMessage[]>;

async function survives(t: TestContext, variant: Variant): Promise<void> {
  const scene = await begin(t, variant);
  const { server, dovecot, program, names, count } = scene;
  const corpus = readCorpus(count);
  t.comment(`left out of the corpus: ${JSON.stringify(corpus.skipped)}`);
  t.equal(corpus.messages.length, count, "messages");
  await deliverAll(scene, corpus.messages);
  const mailboxes = await checkDelivered(scene, corpus.messages);

  const inboxes = (work: (client: ImapFlow, name: string) => Promise<unknown>) => () =>
    eachInbox(dovecot, names, async (client, name) => void (await work(client, name)));
  const places = names.length * count;
  await step(
    scene,
    "fetch all",
    inboxes((client, name) => fetchAll(client, mailboxes.get(name)!)),
  );
  const seen = await step(
    scene,
    "\\Seen on all",
    inboxes((client) => client.messageFlagsAdd("1:*", ["\\Seen"])),
  );
  t.ok(seen <= FLAG_BYTES_MAX * places, "flags move no bodies");
  if (variant.losesIndexes === true) await loseIndexes(dovecot);
  const flagged = await step(
    scene,
    "\\Flagged and a keyword on some",
    inboxes(async (client) => {
      await client.messageFlagsAdd(every(5, 1, count), ["\\Flagged"]);
      await client.messageFlagsAdd(every(7, 1, count), ["project-x"]);
    }),
  );
  t.ok(flagged <= FLAG_BYTES_MAX * places, "a keyword moves no bodies");
  await step(
    scene,
    "expunge every second",
    inboxes((client) => client.messageDelete(every(2, 2, count))),
  );
  for (const [name, all] of mailboxes) mailboxes.set(name, odd(all));
  if (variant.losesIndexes === true) await loseIndexes(dovecot);
  await step(scene, `copy ${COPIES * scene.busy.length} to other folders`, () => copySome(scene));
  await checkCopies(scene, mailboxes);
  await step(scene, `delete ${POP3_DELETIONS * scene.busy.length} by POP3`, () =>
    deleteByPop3(scene, mailboxes),
  );
  await dovecot.stop();

  const files = new Map<string, Buffer>();
  for (const name of names) files.set(name, await program.readFile(`${server.mount}/${name}`));
  const damaged = names.filter(
    (name) => hashes(messagesOf(files.get(name)!)) !== hashes(mailboxes.get(name)!),
  );
  t.strictSame(damaged, [], "every remaining message is what was delivered");
  t.strictSame(dovecot.complaints, [], "Dovecot's log");
  await checkStore(scene, mailboxes, files);
}

async function begin(t: TestContext, variant: Variant): Promise<Scene> {
  const names = Array.from({ length: variant.mailboxes }, (_, i) => `user${i + 1}`);
  const writes = new Writes();
  t.teardown(() => writes.end());
  const server = await MailServer.start(t, {
    tables: { recipients: { users: names, owner: `${OWNER}:${OWNER}` } },
  });
  const program = new Program();
  t.teardown(() => program.end());
  // Dovecot makes its lock files beside the mailboxes.
  await program.call("os.chown", server.mount, OWNER, OWNER);
  const dovecot = await Dovecot.start({
    mail: server.mount,
    uid: OWNER,
    gid: OWNER,
    settings: variant.settings ?? {},
  });
  t.teardown(() => dovecot.end());
  const busy = names.slice(0, variant.busy);
  return { t, names, busy, count: variant.messages, server, dovecot, writes, program };
}

/** Runs something that Dovecot does; tells what it wrote, which it returns, and what of that was new to the store. */
async function step(
  { t, server, writes }: Scene,
  name: string,
  work: () => Promise<void>,
): Promise<number> {
  const { spool } = server.processes();
  const before = { ...(await writes.of(spool)), stored: await unitBytes(server) };
  await work();
  const after = { ...(await writes.of(spool)), stored: await unitBytes(server) };
  const bytes = after.bytes - before.bytes;
  t.comment(
    `${name}: ${after.writes - before.writes} WRITEs of ${bytes} bytes, ` +
      `${after.stored - before.stored} of them new to the store`,
  );
  return bytes;
}

/** Of all units that were ever written. */
async function unitBytes(server: MailServer): Promise<number> {
  const { storedBytes, deadBytes } = await statistics(server);
  return storedBytes! + deadBytes!;
}

async function statistics(server: MailServer): Promise<Record<string, number>> {
  const { stdout } = await run(process.execPath, command, "stat", server.mount, "--json");
  return JSON.parse(stdout) as Record<string, number>;
}

/** Each in one transaction with all mailboxes as its recipients. */
async function deliverAll(
  { t, names, server }: Scene,
  messages: readonly CorpusMessage[],
): Promise<void> {
  const client = await introduced(server);
  const rcpt = names.map((name) => `RCPT TO:<${name}@example.test>\r\n`).join("");
  for (const { name, bytes } of messages) {
    client.write(`MAIL FROM:<ann@example.org>\r\n${rcpt}DATA\r\n`);
    for (let left = names.length + 1; left > 0; left--) await client.expect(250);
    await client.expect(354);
    const lines = bytes.toString("latin1").replace(/\n$/, "").split("\n");
    client.write(lines.map((line) => `${line.startsWith(".") ? "." : ""}${line}\r\n`).join(""));
    client.write(".\r\n");
    const { code, lines: text } = await client.reply();
    if (code !== 250) throw new Error(`${name}: ${code} ${text.join(" ")}`);
  }
  const { storedBytes, logicalBytes } = await statistics(server);
  t.comment(
    `${messages.length} messages in ${names.length} mailboxes: ` +
      `${logicalBytes} bytes, ${storedBytes} stored`,
  );
}

/** What stands in the mailboxes is what was sent, behind the trace fields of the server. */
async function checkDelivered(
  { t, names, server, program }: Scene,
  messages: readonly CorpusMessage[],
): Promise<Mailboxes> {
  const mailboxes: Mailboxes = new Map();
  let first: Buffer | undefined;
  for (const name of names) {
    const bytes = await program.readFile(`${server.mount}/${name}`);
    first ??= bytes;
    mailboxes.set(name, messagesOf(bytes));
  }
  const stored = mailboxes.get(names[0]!)!;
  const shared = (all: readonly StoredMessage[]): string =>
    all.map(({ sharedHash }) => sharedHash).join();
  const others = names.filter((name) => shared(mailboxes.get(name)!) !== shared(stored));
  t.strictSame(others, [], "all mailboxes have the same");
  const changed = messages.filter(({ bytes: sent }, i) => {
    const { sharedStart, end } = stored[i]!;
    const wanted = formatShared(sent);
    const start = end - wanted.length;
    return start < sharedStart || !first!.subarray(start, end).equals(wanted);
  });
  const changedNames = changed.map(({ name }) => name);
  t.strictSame(changedNames, [], "what was delivered is what was sent");
  return mailboxes;
}

async function fetchAll(client: ImapFlow, wanted: readonly StoredMessage[]): Promise<void> {
  let count = 0;
  for await (const { source } of client.fetch("1:*", { source: true, flags: true, uid: true })) {
    const text = source!.toString("latin1").replaceAll("\r\n", "\n");
    const bodyHash = hashOf(text.slice(text.indexOf("\n\n") + 2));
    if (bodyHash !== wanted[count++]?.bodyHash) throw new Error(`message ${count} differs`);
  }
  if (count !== wanted.length) throw new Error(`${count} messages were fetched`);
}

/** A set of message numbers. */
function every(step: number, first: number, last: number): string {
  const numbers: number[] = [];
  for (let number = first; number <= last; number += step) numbers.push(number);
  return numbers.join(",");
}

/** The first, the third and so on. */
function odd<T>(list: readonly T[]): T[] {
  return list.filter((_, i) => i % 2 === 0);
}

function hashes(messages: readonly StoredMessage[]): string {
  return messages.map(({ hash }) => hash).join();
}

async function copySome({ dovecot, busy }: Scene): Promise<void> {
  for (const name of busy) {
    await withImap(dovecot, name, async (client) => {
      await client.mailboxCreate(FOLDER);
      await client.mailboxOpen("INBOX");
      await client.messageCopy(`1:${COPIES}`, FOLDER);
    });
  }
}

/** Dovecot writes a From_ line of its own. */
async function checkCopies({ t, busy, server, program }: Scene, from: Mailboxes): Promise<void> {
  const content = (all: readonly StoredMessage[]): string =>
    all.map(({ contentHash }) => contentHash).join();
  for (const name of busy) {
    const folder = await program.readFile(`${server.mount}/${name}.folders/${FOLDER}`);
    const wanted = from.get(name)!.slice(0, COPIES);
    t.equal(content(messagesOf(folder)), content(wanted), `copies of ${name}`);
  }
}

/** Every second of the last messages of some mailboxes; they go from `mailboxes` too. */
async function deleteByPop3({ dovecot, busy }: Scene, mailboxes: Mailboxes): Promise<void> {
  const port = String(dovecot.ports.pop3);
  for (const name of busy) {
    const { code, stderr } = await run(
      "python3",
      "-c",
      POP3_CLIENT,
      port,
      name,
      String(POP3_DELETIONS),
    );
    if (code !== 0) throw new Error(`poplib: ${stderr}`);
    const all = mailboxes.get(name)!;
    const first = all.length - 2 * POP3_DELETIONS;
    mailboxes.set(
      name,
      all.filter((_, i) => i < first || (i - first) % 2 !== 0),
    );
  }
}

async function loseIndexes(dovecot: Dovecot): Promise<void> {
  await dovecot.stop();
  dovecot.removeIndexes();
  await dovecot.serve();
}

async function checkStore(
  { t, server, names }: Scene,
  mailboxes: Mailboxes,
  files: ReadonlyMap<string, Buffer>,
): Promise<void> {
  const { storedBytes } = await statistics(server);
  await server.stop();
  const { code, stdout, stderr } = await onespool("fsck", server.path("store"));
  t.equal(code, 0, `fsck: ${stdout}${stderr}`);

  const sharing = await sharingOf(server.path("store"), names);
  const header = { shared: 0, delivered: 0 };
  const body = { shared: 0, delivered: 0 };
  const needed = new Map<string, number>();
  let places = 0;
  for (const name of names) {
    const ranges = sharing.get(name)!;
    const delivered = mailboxes.get(name)!;
    for (const [i, { start, bodyStart, end }] of messagesOf(files.get(name)!).entries()) {
      const was = delivered[i]!;
      places++;
      needed.set(was.sharedHash, was.end - was.sharedStart);
      header.delivered += was.bodyStart - was.sharedStart;
      header.shared += sharedBytes(ranges, start, bodyStart);
      body.delivered += was.end - was.bodyStart;
      body.shared += sharedBytes(ranges, bodyStart, end);
    }
  }
  let once = 0;
  for (const bytes of needed.values()) once += bytes;
  const percent = (of: typeof body): number => (100 * of.shared) / of.delivered;
  const beside = ((storedBytes! - once) / places).toFixed(0);
  t.comment(
    `${places} messages are left, which need ${once} bytes once; ${storedBytes} are stored: ` +
      `${beside} beside them for each message in each mailbox`,
  );
  t.comment(
    `still shared: ${percent(header).toFixed(2)} % of ${header.delivered} header bytes, ` +
      `${percent(body).toFixed(3)} % of ${body.delivered} body bytes`,
  );
  t.ok(storedBytes! <= 1.15 * once + 400 * places, "what is stored");
  t.ok(percent(header) >= 80, "headers");
  t.ok(percent(body) >= 99, "bodies");
}
