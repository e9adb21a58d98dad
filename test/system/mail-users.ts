/** Users of the system who get mail: with a home directory of their own, gone at the end of the test. Needs root. */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

export interface MailUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly home: string;
}

export class MailUsers {
  readonly users: readonly MailUser[];

  private constructor(users: readonly MailUser[]) {
    this.users = users;
  }

  /** Their home directories are made in `directory`. The caller removes them. */
  static make(count: number, directory: string): MailUsers {
    const names = Array.from({ length: count }, (_, i) => `osm${i}x${process.pid}`);
    const users: MailUser[] = [];
    const made = new MailUsers(users);
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

  remove(): void {
    for (const { name, home } of this.users) {
      spawnSync("userdel", [name], { timeout: 60_000 });
      rmSync(home, { recursive: true, force: true });
    }
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
