/** A process that serves a mount and waits for the kernel, which waits for the process: seen from outside. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Whether a thread waits in a call with the device, in such a way that no signal wakes it; not for a slow disk. */
export function hangs(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).some((name) => {
    const task = `/proc/${pid}/task/${name}`;
    try {
      if (!/\) D /.test(readFileSync(`${task}/stat`, "latin1"))) return false;
      const descriptor = Number(readFileSync(`${task}/syscall`, "latin1").split(" ")[1]);
      const open = `${task}/fd/${descriptor}`;
      return existsSync(open) && readlinkSync(open) === "/dev/fuse";
    } catch {
      // The thread or the file has gone meanwhile.
      return false;
    }
  });
}
