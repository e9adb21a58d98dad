import t from "tap";
import { UsageFailure } from "../cli/failure.ts";
import { parseHelperOptions } from "../cli/mount-helper-options.ts";

t.test("what fstab says to others has no effect, and ours is handed on", async (t) => {
  const field =
    "rw,nosuid,nodev,noatime,nofail,_netdev,noauto,x-systemd.automount,X-mine=1,comment=a b," +
    "deliver=12,deliver_dirs=/a:/b,noexec,binding=kernel";
  t.same(parseHelperOptions([field], false), {
    binding: "kernel",
    options: ["deliver=12", "deliver_dirs=/a:/b", "noexec"],
  });
  t.same(parseHelperOptions(["defaults"], false), { binding: "auto", options: [] });
});

t.test("what a spool is not is refused, also by the sloppy", async (t) => {
  for (const [option, text] of [
    ["ro", "-o ro: a spool takes deliveries"],
    ["rw,ro,remount", "-o remount: a spool cannot be remounted"],
    ["user", "-o user: only root mounts"],
    ["user=alice", "-o user=alice: only root mounts"],
    ["owner", "-o owner: only root mounts"],
    ["suid", "-o suid: a spool is always mounted nosuid"],
    ["dev", "-o dev: a spool is always mounted nodev"],
    ["sync", "-o sync: fsync(2) and deliveries"],
    ["binding=none", "-o binding=none: it is one of auto, kernel, fuse-native"],
  ] as const) {
    for (const sloppy of [false, true]) {
      try {
        parseHelperOptions([option], sloppy);
        t.fail(`${option} is refused`);
      } catch (error) {
        t.ok(error instanceof UsageFailure);
        t.match((error as Error).message, text);
      }
    }
  }
});

t.test("unknown options are refused, and passed over when mount -s asks for it", async (t) => {
  t.throws(() => parseHelperOptions(["rw,colour=red"], false), {
    message: "-o colour=red: a spool has no such mount option",
  });
  t.same(parseHelperOptions(["rw,colour=red"], true), { binding: "auto", options: [] });
  for (const name of ["constructor", "toString", "__proto__"]) {
    t.throws(() => parseHelperOptions([name], false), {
      message: `-o ${name}: a spool has no such mount option`,
    });
    t.same(parseHelperOptions([name], true), { binding: "auto", options: [] });
  }
});
