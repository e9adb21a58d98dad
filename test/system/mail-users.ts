/** Users of the system who get mail: with a home directory of their own, gone at the end of the test. Needs root. */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { guardAccounts, removeAccount } from "./accounts.ts";

export interface MailUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly home: string;
}

/** How often users were made in this process. */
let sets = 0;

export class MailUsers {
  readonly users: readonly MailUser[];
  readonly #names: readonly string[];
  readonly #directory: string;
  readonly #endGuard: () => void;

  private constructor(
    users: readonly MailUser[],
    names: readonly string[],
    directory: string,
    endGuard: () => void,
  ) {
    this.users = users;
    this.#names = names;
    this.#directory = directory;
    this.#endGuard = endGuard;
  }

  /** Their home directories are made in `directory`. The caller removes them. */
  static make(count: number, directory: string): MailUsers {
    sets += 1;
    const names = Array.from({ length: count }, (_, i) => `osm${sets}x${i}x${process.pid}`);
    const users: MailUser[] = [];
    const made = new MailUsers(users, names, directory, guardAccounts(names));
    try {
      for (const name of names) {
        const home = join(directory, name);
        system("useradd", "--no-create-home", "--home-dir", home, "--user-group", name);
        const uid = Number(system("id", "-u", name));
        const gid = Number(system("id", "-g", name));
        users.push({ name, uid, gid, groups: [gid], home });
        mkdirSync(home, { mode: 0o755 });
        system("chown", `${uid}:${gid}`, home);
      }
      return made;
    } catch (error) {
      made.remove();
      throw error;
    }
  }

  /** With what still runs as them. Throws, so that the test fails, when something of them stays: removeAccount(). */
  remove(): void {
    const errors: unknown[] = [];
    for (const name of this.#names) {
      try {
        removeAccount(name);
      } catch (error) {
        errors.push(error);
      }
      rmSync(join(this.#directory, name), { recursive: true, force: true });
    }
    if (errors.length > 0) throw new Error(errors.map(String).join("\n"));
    this.#endGuard();
  }
}

function system(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    timeout: 60_000,
  });
  if (status === 0) return stdout.trim();
  throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
}
