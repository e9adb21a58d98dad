/**
 * Deliveries and readers at once: IMAP clients of Dovecot change 20 mailboxes of the mount at random while SMTP
 * sessions deliver to them. In the end each message that was acknowledged and not expunged is there once, unchanged,
 * with the UID that it had from the beginning.
 */
import t from "tap";
import { randomFrom } from "./movers.ts";
import type { TestContext } from "./suite/run.ts";
import type { Dovecot } from "./system/dovecot.ts";
import { eventually } from "./system/harness.ts";
import { ImapClient } from "./system/imap-client.ts";
import type { MailServer } from "./system/mail-server.ts";
import { endMailSite, missingMailSite, pendingCount, startMailSite } from "./system/mail-site.ts";
import { runScript } from "./system/scripts.ts";
import { Ledger, type Found } from "./system/traffic-ledger.ts";
import { hashOf, numberOf, TrafficCorpus } from "./system/traffic-mail.ts";
import { useImap, useSmtp, type Traffic } from "./system/traffic.ts";

const isLong = process.env["ONESPOOL_LONG"] === "1";
const LASTS_MS = isLong ? 600_000 : 60_000;
const TIMEOUT_MS = LASTS_MS + 600_000;
t.setTimeout(TIMEOUT_MS);

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/dovecot-traffic.test.js`);

const IMAP_CLIENTS = 10;
const SMTP_CONNECTIONS = 20;
/** Between two messages of a connection, in the middle. */
const SMTP_PAUSE_MS = 1_000;
/** Without these two, sessions at one mailbox take each other's flags back, and rarely give a new UID, on ext4 too. */
const SETTINGS = { mbox_dirty_syncs: "no", mbox_lazy_writes: "no" };

const reason = missingMailSite();
const options = reason === undefined ? { timeout: TIMEOUT_MS } : { skip: reason };

await t.test("deliveries and readers at once", options, async (t) => {
  const site = await startMailSite(t, SETTINGS);
  const { server, dovecot, users } = site;
  const problems: string[] = [];
  const ledgers = users.map((name) => new Ledger(name, problems));
  const end = Date.now() + LASTS_MS;
  const traffic: Traffic = {
    server,
    imapPort: dovecot.ports.imap,
    ledgers,
    corpus: new TrafficCorpus(),
    problems,
    counts: new Map(),
    isOver: () => Date.now() > end || problems.length > 20,
  };
  try {
    await Promise.all([
      ...numbered(IMAP_CLIENTS, (i) => useImap(traffic, randomFrom(seed + i))),
      ...numbered(SMTP_CONNECTIONS, (i) => {
        return useSmtp(traffic, randomFrom(seed + 1_000 + i), SMTP_PAUSE_MS);
      }),
    ]);
  } catch (error) {
    const said = dovecot.complaints.slice(-20).join("\n");
    throw new Error(`${(error as Error).message}\n${said}`, { cause: error });
  }
  t.comment([...traffic.counts].map(([what, times]) => `${what} ${times}`).join(", "));
  await eventually("nothing pends", () => Promise.resolve(pendingCount(site) === 0));
  for (const ledger of ledgers) await readByImap(dovecot, ledger);
  await readAsFiles(t, server, ledgers);
  const given = ledgers.reduce((sum, ledger) => sum + ledger.given, 0);
  const gone = ledgers.reduce((sum, ledger) => sum + ledger.gone, 0);
  const flagsLost = ledgers.reduce((sum, ledger) => sum + ledger.flagsLost, 0);
  t.comment(
    `${given} messages in ${users.length} mailboxes, ${gone} expunged; ${flagsLost} flags lost`,
  );
  t.strictSame(problems, [], "nothing contradicts the ledgers");
  t.ok(given > gone && gone > 0, "messages came, went and stayed");
  await endMailSite(t, site);
});

function numbered(countOf: number, make: (i: number) => Promise<void>): readonly Promise<void>[] {
  return Array.from({ length: countOf }, (_, i) => make(i));
}

async function readByImap(dovecot: Dovecot, ledger: Ledger): Promise<void> {
  const client = await ImapClient.login(dovecot.ports.imap, ledger.name);
  const { untagged } = await client.must("SELECT INBOX");
  const text = untagged.map(({ line }) => line).join("\n");
  ledger.selected(/UIDVALIDITY (\d+)/.exec(text)?.[1]);
  const fetched = await client.fetch("UID FETCH 1:* (UID FLAGS BODY.PEEK[])");
  const found: Found[] = [];
  const flags: (readonly string[])[] = [];
  for (const { uid, literal, flags: set } of fetched) {
    const message = literal!.toString("latin1");
    ledger.saw(uid, message);
    found.push({ number: numberOf(message), hash: hashOf(message) });
    flags.push(set ?? []);
  }
  ledger.holds(found, "IMAP", flags);
  await client.logout();
}

/** By a program that knows nothing of Dovecot. */
async function readAsFiles(
  t: TestContext,
  server: MailServer,
  ledgers: readonly Ledger[],
): Promise<void> {
  const paths = ledgers.map(({ name }) => `${server.mount}/${name}`);
  const script = runScript("traffic_mail.py", paths);
  t.teardown(() => script.child.kill("SIGKILL"));
  const { code, output, errors } = await script.ended;
  if (code !== 0) throw new Error(errors);
  for (const [i, line] of output.trim().split("\n").entries()) {
    const messages = JSON.parse(line) as [number | string, string][];
    const found = messages
      // Dovecot has a message of its own in front, which tells of the mailbox.
      .filter(([number]) => !String(number).includes("\nX-IMAP: "))
      .map(([number, hash]) => ({ number: Number(number), hash }));
    ledgers[i]!.holds(found, "Python");
  }
}
