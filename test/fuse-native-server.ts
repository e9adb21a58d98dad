/**
 * A process that serves a new, empty store at the directory named by its argument through fuse-native,
 * until its standard input ends. It prints "mounted" when the mount answers and "unmounted" at the end.
 */
import type { Session } from "../fs/files/sessions.ts";
import { mountFuseNative } from "../fs/native/mount.ts";
import { Harness } from "./files-harness.ts";

/** Answers each request with its length, so that the way through the mount can be seen. */
function lengths(): Session {
  let reply = "";
  return {
    write: (data) => {
      reply = `${data.length} bytes of request\n`;
      return data.length;
    },
    read: (lengthMax) => {
      const bytes = Buffer.from(reply, "latin1").subarray(0, lengthMax);
      reply = "";
      return bytes;
    },
    ioctl: () => 0,
    close: () => undefined,
  };
}

const mountpoint = process.argv[2]!;
const harness = await Harness.open({
  hints: { open: lengths },
  now: () => {
    const ms = Date.now();
    return { sec: Math.floor(ms / 1_000), nsec: (ms % 1_000) * 1_000_000 };
  },
});
const mounted = await mountFuseNative(mountpoint, harness.files);
process.stdout.write("mounted\n");
process.stdin.resume();
process.stdin.once("end", () => {
  void mounted.unmount().catch((error: unknown) => {
    process.stdout.write(`${String(error)}\n`);
  });
});
await mounted.closed;
process.stdout.write(`unmounted, ${harness.store.statistics().files} files\n`);
await harness.close();
process.stdin.destroy();
