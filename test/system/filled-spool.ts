/** Two mailboxes of two users at /var/mail, with the same messages, which are stored once. */
import { outputOf, type CommandOptions } from "./command.ts";
import { deliverMail } from "./hint-mail.ts";
import type { HintClient } from "./hints.ts";
import type { MailUser } from "./mail-users.ts";
import { wholeMails } from "./numbered-mail.ts";

const LINES = 200;

/** The mailboxes of alice and of bob, filled anew for each test with messages that are stored once. */
export class FilledSpool {
  static readonly ids = Array.from({ length: 12 }, (_, i) => `mail-${i}`);
  readonly hints: HintClient;
  readonly mailbox: string;
  readonly place: CommandOptions;
  readonly #names: readonly [string, string];
  readonly #bob: MailUser;

  constructor(hints: HintClient, place: CommandOptions, alice: MailUser, bob: MailUser) {
    this.hints = hints;
    this.place = place;
    this.#bob = bob;
    this.#names = [alice.name, bob.name];
    this.mailbox = `/var/mail/${alice.name}`;
  }

  async fill(): Promise<void> {
    const { varMail } = this.place as { varMail: string };
    await outputOf(["sh", "-c", `rm -f ${varMail}/*`]);
    for (const name of this.#names) {
      const path = `${varMail}/${name}`;
      await outputOf(["sh", "-c", `umask 077; : > ${path}; chown ${name}: ${path}`]);
    }
    for (const id of FilledSpool.ids) {
      await deliverMail(this.hints, { id, lines: LINES }, this.#names);
    }
  }

  deliver(id: string): Promise<void> {
    return deliverMail(this.hints, { id, lines: LINES }, this.#names);
  }

  /** What alice sees. */
  async read(path = this.mailbox): Promise<string> {
    return this.run(["cat", path]);
  }

  async mails(path = this.mailbox): Promise<string[]> {
    return wholeMails(await this.read(path));
  }

  bobs(): Promise<string> {
    const { varMail } = this.place as { varMail: string };
    return outputOf(["cat", `/var/mail/${this.#bob.name}`], { varMail });
  }

  run(command: readonly string[], input = ""): Promise<string> {
    return outputOf(command, { ...this.place, input });
  }

  sh(script: string): Promise<string> {
    return this.run(["sh", "-c", script, this.mailbox]);
  }
}
