/** Delivery agents as they run for one user whose mailbox is in /var/mail. */
import { chownSync, writeFileSync } from "node:fs";
import { outputOf, type CommandOptions } from "./command.ts";
import type { MailUser } from "./mail-users.ts";

/** Takes a message as an MTA gives it: behind a From_ line. Rejects when it is refused. */
export type Deliver = (message: string) => Promise<unknown>;

export class Agents {
  readonly place: CommandOptions;
  /** How a message gets into the mailbox, by the program and what is special. */
  readonly ways: Readonly<Record<string, Deliver>>;
  readonly #user: MailUser;

  /** `varMail`: the mount. */
  constructor(user: MailUser, varMail: string) {
    this.#user = user;
    const { name, home } = user;
    this.place = { user: name, varMail, environment: { HOME: home, USER: name, LOGNAME: name } };
    const mailbox = `/var/mail/${name}`;
    const locked = this.#file("procmailrc", `:0:${mailbox}.lock\n${mailbox}\n`);
    const filter = this.#file(
      "filter",
      `if (/^Subject: nothing/)\n{\n  exit\n}\nto "${mailbox}"\n`,
    );
    const asRoot =
      (...command: readonly string[]): Deliver =>
      (input) =>
        outputOf(command, { varMail, input });
    const asUser =
      (...command: readonly string[]): Deliver =>
      (input) =>
        this.asUser(command, input);
    this.ways = {
      "procmail -d": asRoot("procmail", "-f-", "-d", name),
      "procmail with a local lockfile": asUser("procmail", locked),
      "maildrop -d": asRoot("maildrop", "-d", name),
      "maildrop with a filter file": asUser("maildrop", "-V", "4", filter),
      // It takes no lock: the message has to be one write(2), which no other message gets into.
      "sh that appends": (message) =>
        this.asUser(["sh", "-c", `sed '2,$s/^From />&/' >> ${mailbox}`], `${message}\n`),
    };
  }

  asUser(command: readonly string[], input = ""): Promise<string> {
    return outputOf(command, { ...this.place, input });
  }

  /** A file of the user, and of nobody else's concern, or maildrop will not have it. */
  #file(name: string, text: string): string {
    const path = `${this.#user.home}/${name}`;
    writeFileSync(path, text, { mode: 0o600 });
    chownSync(path, this.#user.uid, this.#user.gid);
    return path;
  }
}
