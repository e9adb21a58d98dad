/** mutt at a terminal. The bottom line says how many messages it knows: `Status`. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommandOptions } from "./command.ts";
import { Terminal } from "./terminal.ts";

export interface MuttSettings {
  /** Which it opens first; without it the one of the user. */
  readonly mailbox?: string;
  /** The directory that = stands for. */
  readonly folder?: string;
  /** Which it watches for new mail. */
  readonly mailboxes?: readonly string[];
  /** More lines of its configuration. */
  readonly lines?: readonly string[];
}

/** What the status line says of the open mailbox. */
export interface Status {
  readonly messages: number;
  readonly new: number;
  readonly deleted: number;
  readonly flagged: number;
}

export class Mutt {
  readonly terminal: Terminal;
  readonly #directory: string;

  private constructor(terminal: Terminal, directory: string) {
    this.terminal = terminal;
    this.#directory = directory;
  }

  /** The caller ends it. */
  static start(settings: MuttSettings, options: CommandOptions = {}): Mutt {
    const directory = mkdtempSync(join(tmpdir(), "onespool-mutt-"));
    chmodSync(directory, 0o755);
    // Without a folder it would ask whether to make ~/Mail.
    const { mailbox, folder = directory, mailboxes = [], lines = [] } = settings;
    const configuration = [
      'set status_format="<messages %?m?%m&0? new %?n?%n&0? deleted %?d?%d&0? flagged %?F?%F&0?>"',
      'set folder_format="%2C [%N] %f"',
      // Seconds between two looks for new mail, and between two looks while nobody types.
      "set mail_check=1",
      "set timeout=1",
      "set sleep_time=0",
      "set confirmappend=no confirmcreate=no delete=yes move=no quit=yes",
      "unset help",
      "unset beep",
      // No files of the user are read or made.
      "set history_file= header_cache=",
      `set folder=${folder}`,
      ...mailboxes.map((path) => `mailboxes ${path}`),
      ...lines,
    ];
    const file = join(directory, "muttrc");
    writeFileSync(file, configuration.map((line) => `${line}\n`).join(""));
    const command = ["mutt", "-n", "-F", file];
    if (mailbox !== undefined) command.push("-f", mailbox);
    return new Mutt(Terminal.start(command, options), directory);
  }

  type(keys: string): void {
    this.terminal.type(keys);
  }

  shows(pattern: RegExp): Promise<RegExpExecArray> {
    return this.terminal.shows(pattern);
  }

  /** Waits until the status line has these numbers; those that are not named may be any. */
  async status(wanted: Partial<Status>): Promise<void> {
    const one = (name: keyof Status): string => `${name} ${wanted[name] ?? "\\d+"}`;
    await this.shows(
      new RegExp(`<${one("messages")} ${one("new")} ${one("deleted")} ${one("flagged")}>`),
    );
  }

  /** q, which writes what was changed. */
  async quit(): Promise<void> {
    this.type("q");
    const code = await this.terminal.ended();
    if (code !== 0) throw new Error(`mutt ended with ${code}:\n${this.terminal.screen}`);
  }

  /** Gone, whatever it was doing. */
  async end(): Promise<void> {
    await this.terminal.end();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
