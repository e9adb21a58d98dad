/** Those who use mailboxes all at once, at random: IMAP sessions that change them, and SMTP sessions that deliver. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../movers.ts";
import { introduced } from "./deliveries.ts";
import { ImapClient } from "./imap-client.ts";
import type { MailServer } from "./mail-server.ts";
import type { SmtpClient } from "./smtp-client.ts";
import type { Ledger } from "./traffic-ledger.ts";
import type { TrafficCorpus, TrafficMail } from "./traffic-mail.ts";

export interface Traffic {
  readonly server: MailServer;
  readonly imapPort: number;
  readonly ledgers: readonly Ledger[];
  readonly corpus: TrafficCorpus;
  readonly problems: string[];
  /** How often each thing was done. */
  readonly counts: Map<string, number>;
  /** Everybody finishes what is under way. */
  readonly isOver: () => boolean;
}

/** Messages above which a mailbox is cleared in larger pieces, so that each run changes mailboxes of a like size. */
const CROWDED = 150;
const FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "Work", "$Label1", "Later"];
const NUMBER_FIELD = "BODY.PEEK[HEADER.FIELDS (X-NUMBER)]";

function integer(random: Random, countMax: number): number {
  return Math.floor(random() * countMax);
}

function some<T>(random: Random, all: readonly T[], countMax: number): T[] {
  const start = integer(random, all.length);
  const chosen = all.slice(start, start + 1 + integer(random, countMax));
  return chosen.filter((_, i) => i === 0 || random() < 0.7);
}

/** Low numbers more often, so that several are at one mailbox. */
function popular<T>(random: Random, all: readonly T[]): T {
  return all[Math.floor(random() * random() * all.length)]!;
}

function count(traffic: Traffic, what: string): void {
  traffic.counts.set(what, (traffic.counts.get(what) ?? 0) + 1);
}

/** Logs in to one mailbox after the other until it is over. */
export async function useImap(traffic: Traffic, random: Random): Promise<void> {
  while (!traffic.isOver()) await useMailbox(traffic, random, popular(random, traffic.ledgers));
}

/** One session at one mailbox. */
export async function useMailbox(traffic: Traffic, random: Random, ledger: Ledger): Promise<void> {
  const session = new ImapSession(traffic, random, ledger);
  try {
    await session.run();
  } finally {
    session.destroy();
  }
}

class ImapSession {
  readonly #traffic: Traffic;
  readonly #random: Random;
  readonly #ledger: Ledger;
  #client: ImapClient | undefined;
  /** Of the messages that this session has seen, ascending. */
  #uids: number[] = [];

  constructor(traffic: Traffic, random: Random, ledger: Ledger) {
    this.#traffic = traffic;
    this.#random = random;
    this.#ledger = ledger;
  }

  async run(): Promise<void> {
    this.#client = await ImapClient.login(this.#traffic.imapPort, this.#ledger.name);
    count(this.#traffic, "login");
    await this.#select();
    const steps = 4 + integer(this.#random, 25);
    for (let i = 0; i < steps && !this.#traffic.isOver(); i++) await this.#step();
    if (this.#random() < 0.2) this.#client.destroy();
    else await this.#client.logout();
  }

  destroy(): void {
    this.#client?.destroy();
  }

  async #select(): Promise<void> {
    const { untagged } = await this.#client!.must("SELECT INBOX");
    const text = untagged.map(({ line }) => line).join("\n");
    this.#ledger.selected(/UIDVALIDITY (\d+)/.exec(text)?.[1]);
    await this.#list();
  }

  async #step(): Promise<void> {
    const random = this.#random();
    const name =
      random < 0.12
        ? "append"
        : random < 0.27
          ? "list"
          : random < 0.45
            ? "fetch"
            : random < 0.7
              ? "flag"
              : random < 0.85
                ? "expunge"
                : random < 0.97
                  ? "idle"
                  : "select";
    const steps = {
      append: () => this.#append(),
      list: () => this.#list(),
      fetch: () => this.#fetch(),
      flag: () => this.#flag(),
      expunge: () => this.#expunge(),
      idle: () => this.#idle(),
      select: () => this.#select(),
    };
    count(this.#traffic, name);
    await steps[name]();
  }

  async #append(): Promise<void> {
    const mail = this.#traffic.corpus.next(this.#random, true);
    this.#ledger.gives(mail, "plain");
    const flag = this.#random() < 0.3 ? " (\\Seen)" : "";
    const bytes = Buffer.from(mail.text.replaceAll("\n", "\r\n"), "latin1");
    const { text } = await this.#client!.must(`APPEND INBOX${flag}`, bytes);
    this.#ledger.acknowledged(mail);
    const [, uidValidity, uid] = /APPENDUID (\d+) (\d+)/.exec(text) ?? [];
    this.#ledger.selected(uidValidity);
    this.#ledger.identified(Number(uid), mail.number);
  }

  async #list(): Promise<void> {
    const found = await this.#client!.fetch(`UID FETCH 1:* (UID FLAGS ${NUMBER_FIELD})`);
    const shown = found.filter(({ literal }) => literal !== undefined);
    for (const { uid, literal } of shown) this.#ledger.saw(uid, literal!.toString("latin1"));
    this.#uids = shown.map(({ uid }) => uid).sort((a, b) => a - b);
  }

  async #fetch(): Promise<void> {
    if (this.#uids.length === 0) return;
    const uids = some(this.#random, this.#uids, 8);
    const found = await this.#client!.fetch(`UID FETCH ${uids.join()} (UID BODY.PEEK[])`);
    for (const { uid, literal } of found) {
      if (literal !== undefined) this.#ledger.sawWhole(uid, literal.toString("latin1"));
    }
  }

  async #flag(): Promise<void> {
    if (this.#uids.length === 0) return;
    const uids = some(this.#random, this.#uids, 20);
    // \Draft comes and goes; of the others it is known in the end which there have to be.
    if (this.#random() < 0.3) {
      const sign = this.#random() < 0.5 ? "+" : "-";
      await this.#client!.must(`UID STORE ${uids.join()} ${sign}FLAGS (\\Draft)`);
      return;
    }
    const flag = FLAGS[integer(this.#random, FLAGS.length)]!;
    await this.#client!.must(`UID STORE ${uids.join()} +FLAGS (${flag})`);
    this.#ledger.flagged(uids, flag);
  }

  async #expunge(): Promise<void> {
    if (this.#uids.length === 0) return;
    const countMax = this.#uids.length > CROWDED ? this.#uids.length : 8;
    const uids = some(this.#random, this.#uids, countMax);
    this.#ledger.dooms(uids);
    await this.#client!.must(`UID STORE ${uids.join()} +FLAGS.SILENT (\\Deleted)`);
    const command = this.#random() < 0.5 ? "EXPUNGE" : `UID EXPUNGE ${uids.join()}`;
    await this.#client!.must(command);
    const left = new Set(
      (await this.#client!.fetch(`UID FETCH ${uids.join()} (UID)`)).map(({ uid }) => uid),
    );
    // Dovecot forgets a flag that is set while another session rewrites the mailbox, on any file system.
    if (left.size > 0) count(this.#traffic, "expunge undone");
    this.#ledger.expunged(uids.filter((uid) => !left.has(uid)));
    const gone = new Set(uids);
    this.#uids = this.#uids.filter((uid) => !gone.has(uid));
  }

  async #idle(): Promise<void> {
    await this.#client!.idle();
    await sleep(100 + integer(this.#random, 1_500));
    await this.#client!.done();
  }
}

/** Delivers through one connection after the other until it is over. */
export async function useSmtp(traffic: Traffic, random: Random, pauseMs: number): Promise<void> {
  while (!traffic.isOver()) {
    const client = await introduced(traffic.server);
    try {
      const mails = 1 + integer(random, 20);
      for (let i = 0; i < mails && !traffic.isOver(); i++) {
        await deliver(traffic, client, random);
        await sleep(integer(random, pauseMs * 2));
      }
      client.write("QUIT\r\n");
      await client.expect(221);
    } finally {
      client.destroy();
    }
  }
}

async function deliver(traffic: Traffic, client: SmtpClient, random: Random): Promise<void> {
  const mail = traffic.corpus.next(random);
  const ledgers = new Set([popular(random, traffic.ledgers)]);
  for (let more = integer(random, 5); more > 0; more--) {
    ledgers.add(traffic.ledgers[integer(random, traffic.ledgers.length)]!);
  }
  for (const ledger of ledgers) ledger.gives(mail, "quoted");
  client.write(envelope([...ledgers].map(({ name }) => name)));
  for (let left = ledgers.size + 1; left > 0; left--) await client.expect(250);
  await client.expect(354);
  client.write(stuffed(mail));
  await client.expect(250);
  for (const ledger of ledgers) ledger.acknowledged(mail);
  count(traffic, "delivery");
}

function envelope(names: readonly string[]): string {
  const recipients = names.map((name) => `RCPT TO:<${name}@example.test>\r\n`);
  return `MAIL FROM:<ann@example.org> BODY=8BITMIME\r\n${recipients.join("")}DATA\r\n`;
}

/** RFC 5321 section 4.5.2. */
export function stuffed({ text }: TrafficMail): string {
  return `${text.replaceAll(/^\./gm, "..").replaceAll("\n", "\r\n")}.\r\n`;
}
