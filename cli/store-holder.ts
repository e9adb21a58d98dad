/** Whether a process has a store open, told from outside without taking its lock for a moment. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LOCK_FILE } from "../fs/store/paths.ts";

/** The state of a process in proc_pid_stat(5) follows its name, which may hold parentheses itself. */
function isRunning(pid: string): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, "latin1");
    // A process that has ended and that nobody has waited for yet holds no lock.
    return !/\) [ZX] [^)]*$/.test(status);
  } catch {
    return false;
  }
}

/** By the process that the store's lock file names; one that names none counts as held. */
export function isHeld(store: string): boolean {
  try {
    const pid = readFileSync(join(store, LOCK_FILE), "latin1").trim();
    return !/^\d+$/.test(pid) || isRunning(pid);
  } catch {
    return true;
  }
}
