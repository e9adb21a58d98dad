/** Real users for a test, with entries in /etc/passwd and /etc/group, gone at its end. Needs root. */
import { spawnSync } from "node:child_process";
import type { User } from "../suite/program.ts";
import { guardAccounts, removeAccount } from "./accounts.ts";

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    timeout: 60_000,
  });
  if (status === 0) return stdout.trim();
  throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
}

export interface RealUsers {
  /** Both are in the shared group besides their own. */
  readonly alice: User;
  readonly bob: User;
  readonly stranger: User;
  readonly sharedGroup: number;
  remove(): void;
}

export function makeUsers(): RealUsers {
  const suffix = String(process.pid);
  const group = `ospg${suffix}`;
  const names = ["a", "b", "c"].map((letter) => `osp${letter}${suffix}`);
  const made: (() => void)[] = [guardAccounts(names)];
  const remove = () => {
    for (const undo of made.splice(0).toReversed()) undo();
  };
  try {
    run("groupadd", group);
    made.push(() => run("groupdel", group));
    for (const [i, name] of names.entries()) {
      const groups = i < 2 ? ["--groups", group] : [];
      run("useradd", "--no-create-home", "--user-group", ...groups, "--shell", "/bin/false", name);
      made.push(() => removeAccount(name));
    }
    const [alice, bob, stranger] = names.map((name) => ({
      uid: Number(run("id", "-u", name)),
      gid: Number(run("id", "-g", name)),
      groups: run("id", "-G", name).split(" ").map(Number),
    }));
    const sharedGroup = alice!.groups.find((gid) => gid !== alice!.gid)!;
    return { alice: alice!, bob: bob!, stranger: stranger!, sharedGroup, remove };
  } catch (error) {
    remove();
    throw error;
  }
}
