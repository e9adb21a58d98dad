import t from "tap";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { VERSION } from "../base/version.ts";
import { type CommandFailure, EXIT_USAGE, reasonOf } from "../cli/failure.ts";
import { readBounded, senderOf, withoutFromLine } from "../cli/message-input.ts";
import { parseMountOptions } from "../cli/mount-options.ts";
import { mountAt, mountOf, parseMountinfo, pathInside, rootMount } from "../cli/mountinfo.ts";
import { bytes } from "../cli/numbers.ts";
import { Progress } from "../cli/progress.ts";
import { isHeld } from "../cli/store-holder.ts";
import { storeClosed } from "../cli/umount.ts";
import { StoreError } from "../fs/store/errors.ts";

t.test("the version is the one of package.json", async (t) => {
  let directory = new URL("./", import.meta.url);
  let text: string | undefined;
  while (text === undefined) {
    try {
      text = readFileSync(new URL("package.json", directory), "utf8");
    } catch {
      directory = new URL("../", directory);
    }
  }
  t.equal(VERSION, (JSON.parse(text) as { version: string }).version);
});

t.test("mount options name the delivering account and its directories", async (t) => {
  t.same(parseMountOptions([]), {});
  t.same(parseMountOptions(["deliver=12"]), { deliverUid: 12 });
  t.same(parseMountOptions(["deliver=1,deliver_dirs=/a//b/:/", "deliver=2"]), {
    deliverUid: 2,
    deliverDirectories: ["a/b", "."],
  });
});

function exitCodeOf(option: string): number | undefined {
  try {
    parseMountOptions([option]);
    return undefined;
  } catch (error) {
    return (error as CommandFailure).exitCode;
  }
}

t.test("a mount option that is not known or makes no sense is refused", async (t) => {
  for (const option of [
    "deliver",
    "deliver=",
    "deliver=-1",
    "deliver=root",
    "deliver=4294967295",
    "deliver_dirs=/a",
    "deliver=1,deliver_dirs=a",
    "deliver=1,deliver_dirs=/a/../b",
    "deliver=1,deliver_dirs=",
    "ro",
    "",
  ]) {
    t.equal(exitCodeOf(option), EXIT_USAGE, JSON.stringify(option));
  }
});

const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:50 / /srv/my\\040spool rw shared:5 master:2 - fuse.onespool /var/store\\0401 rw,user_id=0
41 22 0:51 / /srv rw - tmpfs none rw
42 41 0:50 /sub/dir /srv/part rw - fuse.onespool /var/store rw
43 40 0:52 / /srv/my\\040spool rw - ext4 /dev/x rw
not a line
`;

t.test("the mount table is read with optional fields and escaped blanks", async (t) => {
  const mounts = parseMountinfo(mountinfo);
  t.equal(mounts.length, 5);
  t.same(mounts[1], {
    device: "0:50",
    root: "/",
    mountpoint: "/srv/my spool",
    type: "fuse.onespool",
    source: "/var/store 1",
  });
});

t.test("a path is in the mount with the longest mount point, the later one on top", async (t) => {
  const mounts = parseMountinfo(mountinfo);
  t.equal(mountOf(mounts, "/srv/part/x")?.device, "0:50");
  t.equal(mountOf(mounts, "/srv/partition")?.device, "0:51");
  t.equal(mountOf(mounts, "/etc")?.device, "254:0");
  t.equal(mountAt(mounts, "/srv/my spool")?.device, "0:52");
  t.equal(mountAt(mounts, "/srv/my"), undefined);
});

t.test("a path through a bind mount is found from the root of its file system", async (t) => {
  const mounts = parseMountinfo(mountinfo);
  const entry = mountOf(mounts, "/srv/part/x/y")!;
  t.equal(pathInside(entry, "/srv/part/x/y"), "sub/dir/x/y");
  t.equal(pathInside(entry, "/srv/part"), "sub/dir");
  t.equal(pathInside(mounts[0]!, "/etc/x"), "etc/x");
  t.equal(rootMount(mounts, entry)?.mountpoint, "/srv/my spool");
});

const senderIn = (text: string): string => senderOf(withoutFromLine(Buffer.from(text)));

t.test("the sender is the address in Return-Path, and nobody without one", async (t) => {
  t.equal(senderIn("return-path:\n <a@example.org>\nTo: b\n\n"), "a@example.org");
  t.equal(senderIn("Return-Path: é@example.org\n\n"), "é@example.org");
  t.equal(senderIn("Return-Path: <>\n\n"), "");
  t.equal(senderIn("Return-Path: <a\0b>\n\n"), "");
  t.equal(senderIn("To: b\n\nReturn-Path: <x>\n"), "");
});

t.test("one From_ line in front is taken off and names the sender", async (t) => {
  const line = "From a@example.org Thu Jan  1 00:00:00 1970\n";
  const { message } = withoutFromLine(Buffer.from(`${line}Subject: x\n\nbody\n`));
  t.equal(message.toString(), "Subject: x\n\nbody\n");
  t.equal(senderIn(`${line}Subject: x\n\n`), "a@example.org");
  t.equal(senderIn(`${line}Return-Path: <b@example.org>\n\n`), "b@example.org");
  t.equal(senderIn(`${line}Return-Path: <>\n\n`), "");
  t.equal(senderIn("From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nTo: b\n\n"), "");
  t.equal(senderIn("From - Thu Jan  1 00:00:00 1970\r\nTo: b\r\n\r\n"), "");
  t.equal(withoutFromLine(Buffer.from(`${line}${line}`)).message.toString(), line);
  t.equal(withoutFromLine(Buffer.from("From a@b")).message.length, 0);
  for (const text of [">From a@b\n\n", "From: a@b\n\n", ""]) {
    t.equal(withoutFromLine(Buffer.from(text)).message.toString(), text);
  }
});

t.test("a message without an end is read to its limit only", async (t) => {
  const endless = async function* (): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(100);
  };
  t.equal(await readBounded(endless(), 950), undefined);
  const some = Readable.from([Buffer.from("ab"), Buffer.from("c")]);
  t.equal((await readBounded(some, 3))?.toString(), "abc");
});

t.test("an error of the store tells its cause in few words", async (t) => {
  const cause = Object.assign(new Error("ENOSPC: no space left on device, write"), {
    code: "ENOSPC",
  });
  const error = new StoreError("STORE_FULL", `cannot write x: ${cause.message}`, { cause });
  t.equal(reasonOf(error), "cannot write x: no space left");
  t.equal(reasonOf(new StoreError("STORE_FORMAT", "x is no store")), "x is no store");
});

t.test("a store whose process is gone is held by nobody", async (t) => {
  const store = t.testdir({ lock: `${process.pid}\n` });
  t.ok(isHeld(store));
  const ended = spawnSync("true");
  writeFileSync(join(store, "lock"), `${ended.pid}\n`);
  t.notOk(isHeld(store));
  writeFileSync(join(store, "lock"), "");
  t.ok(isHeld(store), "it may be about to write its number");
});

t.test("a store that was left without being closed is told of at once", async (t) => {
  const store = t.testdir({
    lock: `${spawnSync("true").pid}\n`,
    mountpoint: "/srv/mail\n",
    "onespool.log": "mounted\nonespool: no space\n",
  });
  await storeClosed(store, "/srv/other");
  await t.rejects(storeClosed(store, "/srv/mail"), {
    message: `${store}: unmounted, but the store was not closed cleanly: onespool: no space`,
  });
  t.notOk(existsSync(join(store, "mountpoint")));
  await storeClosed(store, "/srv/mail");
});

t.test("bytes are printed exactly, and rounded when they are many", async (t) => {
  t.equal(bytes(0), "0 bytes");
  t.equal(bytes(1), "1 byte");
  t.equal(bytes(10_239), "10,239 bytes");
  t.equal(bytes(1_572_864), "1,572,864 bytes (1.5 MiB)");
});

t.test("progress is shown on a terminal only, and taken away", async (t) => {
  const shown = (isTTY: boolean): string => {
    let text = "";
    const write = (part: string): boolean => {
      text += part;
      return true;
    };
    const progress = new Progress({ isTTY, columns: 40, write } as unknown as NodeJS.WriteStream);
    progress.show("first", 1000);
    progress.show("too soon", 1001);
    progress.show("2nd", 2000);
    progress.clear();
    progress.clear();
    return text;
  };
  t.equal(shown(false), "");
  t.equal(shown(true), "\rfirst\r2nd  \r   \r");
});
