/** A Dovecot of its own over one directory of mailboxes: the mount, or the plain directory. */
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Dovecot } from "../../test/system/dovecot.ts";
import { run } from "../children.ts";
import type { Workspace } from "../workspace.ts";
import { type Session, type Step, useMailbox } from "./session.ts";

/** Any but 0, which Dovecot refuses; no such account is needed. */
export const OWNER = 2000;

const READ_MS_MAX = 300_000;

const running = new Set<Promise<Dovecot>>();

/** For the way out after an error or a signal. */
export async function endDovecots(): Promise<void> {
  for (const each of running) await each.then((dovecot) => dovecot.end()).catch(() => {});
  running.clear();
}

export class Side {
  readonly #mail: string;
  readonly #messages: number;
  readonly #dovecot: Dovecot;
  readonly #started: Promise<Dovecot>;

  private constructor(mail: string, messages: number, started: Promise<Dovecot>, dovecot: Dovecot) {
    this.#mail = mail;
    this.#messages = messages;
    this.#started = started;
    this.#dovecot = dovecot;
  }

  /** `indexes` is a name in the workspace, so that they are on the disk that is measured, and on no other. */
  static async start(workspace: Workspace, mail: string, indexes: string): Promise<Side> {
    const directory = workspace.path(indexes);
    mkdirSync(directory);
    chmodSync(directory, 0o777);
    const started = Dovecot.start({
      mail,
      uid: OWNER,
      gid: OWNER,
      protocols: ["imap"],
      settings: {
        mail_location: `mbox:${mail}/%u.folders:INBOX=${mail}/%u:INDEX=${directory}/%u`,
      },
    });
    running.add(started);
    return new Side(mail, workspace.sizes.imapMessages, started, await started);
  }

  /** With the mailbox in the cache of the kernel: it is read once before. */
  async use(mailbox: string, after?: (step: Step) => Promise<void>): Promise<Session> {
    await run("sh", ["-c", 'cat "$1" > /dev/null', "cat", join(this.#mail, mailbox)], READ_MS_MAX);
    return useMailbox(this.#dovecot.ports.imap, mailbox, this.#messages, after);
  }

  /** Of the mailbox without the line that tells when Dovecot first saw it. */
  digest(mailbox: string): Promise<string> {
    const argv = ["-c", `test -s "$1" && grep -av '^X-IMAPbase: ' "$1" | sha256sum`, "digest"];
    return run("sh", [...argv, join(this.#mail, mailbox)], READ_MS_MAX);
  }

  /** Throws when Dovecot has logged an error. */
  async stop(): Promise<void> {
    await this.#dovecot.stop();
    const { complaints } = this.#dovecot;
    await this.#dovecot.end();
    running.delete(this.#started);
    if (complaints.length > 0) throw new Error(`Dovecot logged: ${complaints.join("\n")}`);
  }
}
