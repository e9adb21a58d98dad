/**
 * The herald: a process that raises inotify events for changes that hints have made.
 *
 * The kernel raises events only for system calls, and the process that serves a mount must make none in it. So
 * this one opens the file whose turn it is for writing, writes a byte, and closes it: IN_OPEN, IN_MODIFY and
 * IN_CLOSE_WRITE, as when any program delivers. The server answers all that this process asks for by itself (requests.ts):
 * the byte goes nowhere. Which file it is the server decides when the name is looked up.
 *
 * A line on standard input says that there are files; its end ends this process. Signals that a whole process group or
 * service gets do not: the server ends it.
 *
 * Arguments: the path of the name, and the number of the mount's device.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";

const [, , path = "", device = ""] = process.argv;
/** Neither a link nor a pipe nor a lease may hold this up, whatever the path leads to when the mount is gone. */
const flags = constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
const byte = Buffer.alloc(1);
/** A file that cannot be opened is given up by the server before this process does. */
const failuresMax = 16;

/** ENOENT: no more files. */
function open(): number | undefined {
  for (let failures = 0; failures < failuresMax; failures += 1) {
    try {
      return openSync(path, flags);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") break;
    }
  }
  return undefined;
}

/** The byte's place is within the file, so that the kernel does not think that it has grown. */
function tell(descriptor: number): void {
  try {
    const { dev, size } = fstatSync(descriptor);
    if (dev === Number(device) && size > 0) writeSync(descriptor, byte, 0, 1, size - 1);
  } catch {
    // The closing is an event too.
  }
  try {
    closeSync(descriptor);
  } catch {
    // The mount is gone.
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => undefined);
process.stdin.on("error", () => process.exit());
process.stdin.on("end", () => process.exit());
process.stdin.on("data", () => {
  for (let descriptor = open(); descriptor !== undefined; descriptor = open()) tell(descriptor);
});
