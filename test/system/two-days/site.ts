/**
 * The people and programs of a mail site, as a simulation has them: mail comes in bursts by day and hardly by night, and
 * mailboxes are read, marked, rewritten in each way that mail programs have, made and removed. What each mailbox has to
 * hold is known at any time.
 */
import { O_APPEND } from "../../../fs/files/open-flags.ts";
import { RDWR, ROOT } from "../../files-harness.ts";
import type { Random } from "../../reclaim-model.ts";
import type { SimulatedClock } from "./clock.ts";
import type { Message } from "./mailbox.ts";
import { flagsAt, Mailbox, messageLength, privateBytes, sharedBytes } from "./mailbox.ts";
import type { OpenedFile, Programs } from "./programs.ts";

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;

export interface SiteOptions {
  readonly mailboxes: number;
  /** Deliveries in a minute of the busiest hours. */
  readonly deliveriesPerMinute: number;
  readonly messagesKept: number;
}

/** How much goes on in each hour of a day, of the busiest. */
const DAY = [
  0.05, 0.03, 0.02, 0.02, 0.02, 0.05, 0.2, 0.4, 0.8, 1, 1, 1, 0.7, 0.9, 1, 1, 1, 0.8, 0.6, 0.5, 0.5,
  0.4, 0.2, 0.1,
] as const;

const RECIPIENTS_MAX = 15;
const CHANGES = ["mark", "expunge", "expunge", "empty", "anew", "replace", "nothing"] as const;
/** A dotlock of somebody who has died counts for ten minutes; the file system looks every five seconds. */
const DOTLOCK_MS = 10 * MINUTE + 10 * SECOND;
const UNITS_KEPT_MS = 11 * MINUTE;

/** What is done with each delivery that was answered. */
export type Witness = (fields: object, body: Buffer, reply: object) => void;

export class Site {
  readonly mailboxes: Mailbox[] = [];
  readonly counts = { deliveries: 0, recipients: 0, visits: 0, pended: 0, removed: 0, folders: 0 };
  readonly #programs: Programs;
  readonly #clock: SimulatedClock;
  readonly #random: Random;
  readonly #options: SiteOptions;
  readonly #witness: Witness;
  /** Control files that the workers of a mail server keep open. */
  #workers: OpenedFile[] = [];
  #lastMessage = 0;
  #lastName = 0;
  #isClosing = false;
  readonly #open = new Set<OpenedFile>();

  constructor(
    programs: Programs,
    clock: SimulatedClock,
    random: Random,
    options: SiteOptions,
    witness: Witness,
  ) {
    this.#programs = programs;
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
    this.#witness = witness;
    for (let k = 0; k < options.mailboxes; k++) this.mailboxes.push(new Mailbox(`user${k}`));
  }

  async begin(): Promise<void> {
    for (let k = 0; k < 4; k++) this.#workers.push(await this.#programs.converse());
    this.#clock.after(MINUTE, () => this.#minute());
    this.#clock.after(HOUR, () => this.#hour());
  }

  /** Nothing begins any more; what others wait for ends. */
  async end(): Promise<void> {
    this.#isClosing = true;
    await this.#clock.runTo(this.#clock.nowMs + 12 * HOUR);
    for (const worker of this.#workers) await this.#programs.close(worker);
  }

  async #minute(): Promise<void> {
    if (this.#isClosing) return;
    this.#clock.after(MINUTE, () => this.#minute());
    const hour = Math.floor(this.#clock.nowMs / HOUR) % 24;
    const part = DAY[hour] as number;
    const isBurst = part > 0.1 && this.#below(60) === 0;
    const deliveries = this.#some(this.#options.deliveriesPerMinute * part) * (isBurst ? 15 : 1);
    for (let k = 0; k < deliveries; k++) await this.#deliver();
    const visits = this.#some((this.#options.deliveriesPerMinute / 2) * part);
    for (let k = 0; k < visits; k++) await this.#visit();
    if (this.#below(12) === 0 && part > 0.1) await this.#folder();
    if (this.#below(25) === 0) await this.#staleDotlock();
    if (this.#below(30) === 0) await this.#unitsForNobody();
    if (this.#below(40) === 0) await this.#remove();
  }

  async #hour(): Promise<void> {
    if (this.#isClosing) return;
    this.#clock.after(HOUR, () => this.#hour());
    this.#programs.forgetSome(this.#random);
    await this.#programs.list(ROOT);
    // Workers are replaced by others.
    const [old] = this.#workers.splice(0, 1) as [OpenedFile];
    await this.#programs.close(old);
    const worker = await this.#programs.converse();
    this.#workers.push(worker);
    await this.#programs.request(worker, { op: "statistics" });
    await this.#programs.request(worker, { op: "reclaim", action: "status" });
    const mailbox = this.#pick();
    if ((await this.#programs.lookup(ROOT, mailbox.name)) !== 0) {
      await this.#programs.request(worker, { op: "who", path: mailbox.name });
    }
  }

  async #deliver(): Promise<void> {
    const chosen = new Set<Mailbox>();
    const wanted = this.#below(3) === 0 ? RECIPIENTS_MAX : 1 + this.#below(4);
    while (chosen.size < Math.min(wanted, this.mailboxes.length)) chosen.add(this.#pick());
    const targets = [...chosen];
    const length = this.#below(30) === 0 ? 50_000 + this.#below(200_000) : 300 + this.#below(9_000);
    const message: Message = { id: ++this.#lastMessage, length, flags: "" };
    const shared = sharedBytes(message);
    const own = targets.map(({ name }) => privateBytes(name, message));
    const to = targets.map(({ name }, k) => ({
      path: name,
      privateBytes: (own[k] as Buffer).length,
      create: { mode: 0o600, uid: 0, gid: 0 },
    }));
    const fields = { op: "deliver", shared: [{ bytes: shared.length }], to };
    const body = Buffer.concat([shared, ...own]);
    const reply = await this.#programs.request(
      this.#random.pick(this.#workers) as OpenedFile,
      fields,
      body,
    );
    for (const mailbox of targets) mailbox.delivered(message);
    this.counts.deliveries++;
    this.counts.recipients += targets.length;
    this.counts.pended += Number(reply["pending"] ?? 0);
    this.#witness(fields, body, reply);
  }

  /** Somebody looks at his mail, does something with it behind a lock, and keeps it open, perhaps for hours. */
  async #visit(): Promise<void> {
    const mailbox = this.#pick();
    const ino = mailbox.isBusy ? 0 : await this.#programs.lookup(ROOT, mailbox.name);
    if (ino === 0) return;
    this.counts.visits++;
    mailbox.isBusy = true;
    const file = await this.#programs.open(ino);
    this.#open.add(file);
    await this.#compare(mailbox, file);
    const change = this.#random.pick(CHANGES)!;
    // Who puts another file in place of it cannot lock the one that was there.
    const hasDotlock = change === "replace" || this.#below(3) === 0;
    const lock = `${mailbox.name}.lock`;
    if (hasDotlock) await this.#programs.close(await this.#programs.create(ROOT, lock));
    else await this.#programs.lock(file, "write");
    mailbox.isLocked = true;
    this.#clock.after(this.#below(90) * SECOND, async () => {
      await this.#change(mailbox, file, change);
      if (hasDotlock) await this.#programs.unlink(ROOT, lock);
      else await this.#programs.lock(file, "unlock");
      mailbox.unlocked();
      mailbox.isBusy = false;
      const idleMs = this.#below(4) === 0 ? this.#below(6 * 60) * MINUTE : this.#below(60) * SECOND;
      this.#clock.after(idleMs, () => this.#leave(file));
    });
  }

  async #leave(file: OpenedFile): Promise<void> {
    this.#open.delete(file);
    await this.#programs.close(file);
  }

  async #change(
    mailbox: Mailbox,
    file: OpenedFile,
    change: (typeof CHANGES)[number],
  ): Promise<void> {
    const programs = this.#programs;
    if (change === "mark") {
      let at = 0;
      for (const message of mailbox.messages) {
        if (this.#below(2) === 0) {
          message.flags = `RO${this.#below(1000)}`;
          const flags = Buffer.from(message.flags.padEnd(8));
          await programs.write(file, at + flagsAt(mailbox.name, message), flags);
          message.flags = message.flags.padEnd(8).trimEnd();
        }
        at += messageLength(mailbox.name, message);
      }
    } else if (change === "expunge") {
      await this.#expunge(mailbox, file);
    } else if (change === "empty") {
      mailbox.messages = [];
      await programs.truncate(file.ino, 0);
    } else if (change === "anew") {
      // As a shell or s-nail does it.
      mailbox.messages = this.#kept(mailbox);
      await programs.truncate(file.ino, 0);
      await programs.write(file, 0, mailbox.bytes());
    } else if (change === "replace") {
      mailbox.messages = this.#kept(mailbox);
      const name = `${mailbox.name}.new`;
      const made = await programs.create(ROOT, name);
      await programs.write(made, 0, mailbox.bytes());
      await programs.sync(made.ino);
      await programs.close(made);
      await programs.rename(ROOT, name, mailbox.name);
    }
    if (this.#below(4) === 0) await programs.sync(file.ino);
  }

  #kept(mailbox: Mailbox): Message[] {
    const over = mailbox.messages.length - this.#options.messagesKept;
    const kept = mailbox.messages.slice(Math.max(0, over));
    return kept.filter(() => this.#below(5) > 0);
  }

  /** Rewrites from the first change on, and cuts the rest off. */
  async #expunge(mailbox: Mailbox, file: OpenedFile): Promise<void> {
    const before = mailbox.messages;
    mailbox.messages = this.#kept(mailbox);
    let at = 0;
    let first = 0;
    for (; first < mailbox.messages.length && before[first] === mailbox.messages[first]; first++) {
      at += messageLength(mailbox.name, before[first] as Message);
    }
    const rest = mailbox.bytes(mailbox.messages.slice(first));
    await this.#programs.write(file, at, rest);
    await this.#programs.truncate(file.ino, at + rest.length);
  }

  /** A program that has died left its lock behind. */
  async #staleDotlock(): Promise<void> {
    const mailbox = this.#pick();
    if (mailbox.isBusy) return;
    mailbox.isBusy = true;
    mailbox.isLocked = true;
    const lock = `${mailbox.name}.lock`;
    await this.#programs.close(await this.#programs.create(ROOT, lock));
    this.#clock.after(DOTLOCK_MS, async () => {
      mailbox.unlocked();
      await this.compare(mailbox);
      await this.#programs.unlink(ROOT, lock);
      mailbox.isBusy = false;
    });
  }

  /** Bytes that were sent ahead and never delivered; the control file stays open for longer than they live. */
  async #unitsForNobody(): Promise<void> {
    const control = await this.#programs.converse();
    const body = Buffer.alloc(1 + this.#below(100_000), 1 + this.#below(255));
    await this.#programs.request(control, { op: "write" }, body);
    if (this.#below(2) === 0) await this.#programs.request(control, { op: "write" }, body);
    this.#clock.after(UNITS_KEPT_MS + this.#below(60) * MINUTE, () =>
      this.#programs.close(control),
    );
  }

  /** The account ends, also while a program has its mailbox open; with the next mail somebody else gets the name. */
  async #remove(): Promise<void> {
    const mailbox = this.#pick();
    if (mailbox.isBusy || (await this.#programs.lookup(ROOT, mailbox.name)) === 0) return;
    await this.#programs.unlink(ROOT, mailbox.name);
    mailbox.messages = [];
    this.counts.removed++;
  }

  /** A directory with a file of sent mail, which is appended to, gets a second name, and goes. */
  async #folder(): Promise<void> {
    const programs = this.#programs;
    const name = `folder${++this.#lastName}`;
    const directory = await programs.makeDirectory(ROOT, name);
    const sent = await programs.create(directory, "sent", RDWR | O_APPEND);
    const written: Buffer[] = [];
    for (let k = this.#below(6); k >= 0; k--) {
      const message = { id: this.#below(1e6), length: 200 + this.#below(5_000), flags: "" };
      written.push(sharedBytes(message));
      await programs.write(sent, 0, written.at(-1)!, RDWR | O_APPEND);
    }
    await programs.link(sent.ino, directory, "sent.copy");
    await programs.setXattr(sent.ino, "user.note", Buffer.alloc(this.#below(300), 1));
    await programs.rename(directory, "sent", "sent.old");
    this.counts.folders++;
    this.#clock.after((1 + this.#below(8 * 60)) * MINUTE, async () => {
      const bytes = await programs.read(sent);
      if (!bytes.equals(Buffer.concat(written))) throw new Error(`${name}/sent is not as written`);
      await programs.unlink(directory, "sent.old");
      if (this.#below(2) === 0) await programs.close(sent);
      else this.#clock.after(this.#below(120) * MINUTE, () => programs.close(sent));
      await programs.unlink(directory, "sent.copy");
      await programs.removeDirectory(ROOT, name);
    });
  }

  /** Throws when it does not hold what it has to. */
  async compare(mailbox: Mailbox): Promise<void> {
    const ino = await this.#programs.lookup(ROOT, mailbox.name);
    if (ino === 0) {
      if (mailbox.messages.length > 0) throw new Error(`${mailbox.name} is gone`);
      return;
    }
    const file = await this.#programs.open(ino);
    await this.#compare(mailbox, file);
    await this.#programs.close(file);
  }

  async #compare(mailbox: Mailbox, file: OpenedFile): Promise<void> {
    const bytes = await this.#programs.read(file);
    if (!bytes.equals(mailbox.bytes())) {
      const { length } = mailbox.messages;
      throw new Error(
        `${mailbox.name}: ${bytes.length} bytes are not those of its ${length} messages`,
      );
    }
  }

  #pick(): Mailbox {
    return this.#random.pick(this.mailboxes)!;
  }

  #below(max: number): number {
    return this.#random.below(max);
  }

  /** A whole number around this one. */
  #some(wanted: number): number {
    const scaled = Math.floor(wanted * 2 * 1000);
    return scaled === 0 ? 0 : Math.round(this.#below(scaled + 1) / 1000);
  }
}
