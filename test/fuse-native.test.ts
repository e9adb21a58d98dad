import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import { errnoName, type Errno } from "../base/errno.ts";
import { S_IFDIR, S_IFREG, type Attributes } from "../fs/attributes.ts";
import { withModificationTime } from "../fs/native/mtime.ts";
import { mountFuseNative } from "../fs/native/mount.ts";
import { FD_MAX, OpenFiles } from "../fs/native/open-files.ts";
import { libfuseArgument, mayAllowOther } from "../fs/native/options.ts";
import { Paths } from "../fs/native/paths.ts";
import { statArray, statistics, timeOf } from "../fs/native/stat.ts";
import type { Operations } from "../fs/operations.ts";

const CALLER = { uid: 0, gid: 0, pid: 1 };
const time = { sec: 12, nsec: 345_678_901 };

function attributes(ino: number, change: Partial<Attributes> = {}): Attributes {
  const times = { atime: time, mtime: time, ctime: time };
  return {
    ino,
    mode: S_IFREG | 0o644,
    nlink: 1,
    uid: 5,
    gid: 6,
    rdev: 0,
    size: 0,
    ...times,
    ...change,
  };
}

/** Operations that know only the names given: "parent/name" to attributes. */
function operationsWith(names: Readonly<Record<string, Attributes>>): Operations {
  const lookup = (parent: number, name: string): Attributes | Errno =>
    names[`${parent}/${name}`] ?? -2;
  const getAttributes = (ino: number): Attributes | Errno =>
    Object.values(names).find((known) => known.ino === ino) ?? -116;
  return { lookup, getAttributes } as unknown as Operations;
}

await test("the option argument makes libfuse cache nothing", async (t) => {
  const options = libfuseArgument({ allowOther: false, source: "a,b\\c" }).slice(2);
  for (const option of ["direct_io", "attr_timeout=0", "entry_timeout=0", "use_ino"]) {
    t.ok(options.split(",").includes(option), option);
  }
  t.notMatch(options, "allow_other");
  t.match(options, "fsname=a\\,b\\\\c");
  t.match(libfuseArgument({ allowOther: true, source: "x" }), /,allow_other$/);
});

await test("other users are let in by root or with root's consent", async (t) => {
  t.equal(mayAllowOther(0, ""), true);
  t.equal(mayAllowOther(1000, "#user_allow_other\nmount_max = 5\n"), false);
  t.equal(mayAllowOther(1000, "mount_max = 5\nuser_allow_other\n"), true);
});

await test("attributes keep a link count of 0 and 64-bit sizes, and times to milliseconds", async (t) => {
  const ints = statArray(attributes(77, { nlink: 0, size: 2 ** 33 + 5 }));
  t.same(Array.from(ints.subarray(0, 5)), [S_IFREG | 0o644, 5, 6, 5, 2]);
  t.same(Array.from(ints.subarray(6, 8)), [0, 77]);
  t.same(Array.from(ints.subarray(10, 12)), [2 ** 24 + 1, 0], "blocks of 512 bytes");
  t.same(Array.from(ints.subarray(14, 16)), [12_345, 0]);
  const early = statArray(attributes(77, { mtime: { sec: -5, nsec: 0 } }));
  t.same(Array.from(early.subarray(14, 16)), [0, 0], "before 1970 is 1970");
  t.same(timeOf(12_345), { sec: 12, nsec: 345_000_000 });
  t.same(timeOf(-1), { sec: -1, nsec: 999_000_000 });
});

await test("a disk with more blocks than 32 bits is told in larger ones", async (t) => {
  const told = statistics({
    blockSize: 4096,
    blocks: 2 ** 33,
    blocksFree: 2 ** 32,
    blocksAvailable: 2 ** 31,
    files: 2 ** 40,
    filesFree: 9,
    nameLengthMax: 255,
  });
  t.match(told, { bsize: 16_384, blocks: 2 ** 31, bfree: 2 ** 30, bavail: 2 ** 29 });
  t.match(told, { files: 2 ** 32 - 1, ffree: 9, namemax: 255 });
});

await test("the modification time is read from the struct of the thread", async (t) => {
  const locals = Buffer.alloc(320);
  locals.writeUInt32LE(12, 8);
  locals.writeBigInt64LE(1_700_000_000_123n, 104);
  locals.writeBigInt64LE(-1n, 112);
  const low = 1_700_000_000_123 % 2 ** 32;
  const high = Math.floor(1_700_000_000_123 / 2 ** 32);
  let seen: unknown[] = [];
  const handler = withModificationTime((...values) => void (seen = values));
  handler(locals, 12, "/a", low, high, low, high);
  t.same(seen.slice(1), [12, "/a", low, high, 2 ** 32 - 1, -1]);
  handler(Buffer.alloc(64), 12, "/a", low, high, low, high);
  t.same(seen.slice(1), [12, "/a", low, high, low, high], "another layout is left alone");
});

await test("paths are walked byte by byte of their names", async (t) => {
  const umlaut = Buffer.from("ü", "utf8").toString("latin1");
  const paths = new Paths(
    operationsWith({
      [`1/${umlaut}`]: attributes(20, { mode: S_IFDIR | 0o755 }),
      "20/box": attributes(21),
      "/": attributes(1),
    }),
    CALLER,
  );
  t.equal(paths.inode("/"), 1);
  t.equal(paths.inode("/ü/box"), 21);
  t.equal(errnoName(paths.inode("/ü/none")), "ENOENT");
  t.equal(errnoName(paths.inode("/ü/box/deeper")), "ENOTDIR");
  t.same(paths.newPlace("/ü/new"), { parent: 20, name: "new" });
  t.equal(errnoName(paths.newPlace("/ü/\u{fffd}") as Errno), "EINVAL", "bytes that are not UTF-8");
});

await test("a file that libfuse hides is found under its hidden name until it is closed", async (t) => {
  const paths = new Paths(operationsWith({ "1/box": attributes(21) }), CALLER);
  const from = { parent: 1, name: "box" };
  const to = { parent: 1, name: ".fuse_hidden0000001500000001" };
  t.equal(paths.isHiding(from, to), true);
  t.equal(paths.isHiding({ ...from, parent: 9 }, to), false);
  t.equal(paths.isHiding(from, { parent: 1, name: ".fuse_hidden1" }), false);
  paths.hide(to, 21);
  t.equal(paths.inode(`/${to.name}`), 21);
  paths.closed(21);
  t.equal(errnoName(paths.inode(`/${to.name}`)), "ENOENT");
  t.equal(paths.unhide(to), false);
});

await test("an fd is a positive int32 and not given twice while open", async (t) => {
  const files = new OpenFiles();
  const first = files.add({ ino: 20, handle: 2 ** 40, flags: 2 });
  const second = files.add({ ino: 20, handle: 2 ** 40 + 1, flags: 0 });
  t.not(first, second);
  t.ok(first > 0 && second <= FD_MAX);
  t.equal(files.get(first)?.handle, 2 ** 40);
  files.remove(first);
  t.equal(files.isOpen(20), true);
  files.remove(second);
  t.equal(files.isOpen(20), false);
  t.equal(files.remove(second), undefined);
});

await test("what cannot be a mount point is refused before libfuse is asked", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "onespool-native-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const refusal = async (name: string): Promise<string> => {
    const operations = operationsWith({});
    const error: unknown = await mountFuseNative(join(directory, name), operations).catch(
      (reason: unknown) => reason,
    );
    return String((error as { code?: string }).code);
  };
  const missing = await refusal("none");
  if (missing === "NO_LIBRARY") {
    t.pass("refusals", { skip: "fuse-native or libfuse 2 is not installed" });
    return;
  }
  writeFileSync(join(directory, "file"), "");
  t.equal(missing, "NO_MOUNTPOINT");
  t.equal(await refusal("file"), "NOT_A_DIRECTORY");
  t.equal(await refusal("."), "REFUSED", "it is not empty");
});

/** A mount that another process serves: this one may use it. */
class ServedMount {
  readonly directory = mkdtempSync(join(tmpdir(), "onespool-native-"));
  readonly mountpoint = join(this.directory, "mount");
  readonly #server: ChildProcess;
  #output = "";

  constructor() {
    mkdirSync(this.mountpoint);
    const server = new URL("fuse-native-server.js", import.meta.url);
    this.#server = spawn(process.execPath, [server.pathname, this.mountpoint], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#server.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
    });
  }

  /** Resolves with all that the server printed once it has printed `word`; rejects when it ends before. */
  async printed(word: string): Promise<string> {
    const exit = once(this.#server, "close");
    while (!this.#output.includes(word)) {
      const more = await Promise.race([
        once(this.#server.stdout!, "data").then(() => true),
        exit.then(() => false),
      ]);
      if (!more && !this.#output.includes(word)) {
        throw new Error(`the server ended: ${this.#output}`);
      }
    }
    return this.#output;
  }

  path(name: string): string {
    return join(this.mountpoint, name);
  }

  askToUnmount(): void {
    this.#server.stdin!.end();
  }

  async unmount(): Promise<string> {
    const exit = this.#server.exitCode ?? once(this.#server, "exit");
    this.askToUnmount();
    await exit;
    return this.#output;
  }

  async end(): Promise<void> {
    if (this.#server.exitCode === null) {
      const exit = once(this.#server, "exit");
      this.#server.kill("SIGKILL");
      await exit;
      await once(spawn("umount", ["-l", this.mountpoint], { stdio: "ignore" }), "exit");
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function canMount(): boolean {
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

await test(
  "a mount through fuse-native",
  { skip: canMount() ? false : "/dev/fuse cannot be opened", timeout: 120_000 },
  async (t) => {
    const mount = new ServedMount();
    t.teardown(() => mount.end());
    await mount.printed("mounted\n");

    await t.test("bytes that are written are read", async (t) => {
      const bytes = Buffer.alloc(3_000_001, "0123456789abcdef\n");
      await fs.writeFile(mount.path("box"), bytes);
      t.equal((await fs.stat(mount.path("box"))).size, bytes.length);
      t.ok((await fs.readFile(mount.path("box"))).equals(bytes));
      await fs.truncate(mount.path("box"), 17);
      t.equal(await fs.readFile(mount.path("box"), "latin1"), "0123456789abcdef\n");
    });

    await t.test("appending goes to the end as the file system knows it", async (t) => {
      const first = await fs.open(mount.path("log"), "a");
      const second = await fs.open(mount.path("log"), "a");
      for (const [file, text] of [
        [first, "1"],
        [second, "2"],
        [first, "3"],
      ] as const) {
        await file.write(text);
      }
      await Promise.all([first.close(), second.close()]);
      t.equal(await fs.readFile(mount.path("log"), "latin1"), "123");
    });

    await t.test("access and modification time are two times", async (t) => {
      await fs.utimes(mount.path("log"), 1_000.25, 2_000_000_000.5);
      const { atimeMs, mtimeMs } = await fs.stat(mount.path("log"));
      t.same([atimeMs, mtimeMs], [1_000_250, 2_000_000_000_500]);
    });

    await t.test("an unlinked open file has no name, no link and its bytes", async (t) => {
      const file = await fs.open(mount.path("gone"), "wx+");
      await file.write("abc");
      await fs.unlink(mount.path("gone"));
      const names = await fs.readdir(mount.mountpoint);
      t.notOk(
        names.some((name) => name === "gone" || name.startsWith(".fuse_hidden")),
        names.join(" "),
      );
      t.equal((await file.stat()).nlink, 0);
      await file.write("def", 3);
      await file.truncate(5);
      await file.chmod(0o600);
      t.equal((await file.stat()).mode & 0o777, 0o600);
      t.equal((await file.read(Buffer.alloc(9), 0, 9, 0)).buffer.toString("latin1", 0, 5), "abcde");
      await file.close();
    });

    await t.test("a file that is renamed over an open one leaves that one alone", async (t) => {
      await fs.writeFile(mount.path("old"), "old");
      await fs.writeFile(mount.path("new"), "new");
      const file = await fs.open(mount.path("old"), "r");
      await fs.rename(mount.path("new"), mount.path("old"));
      t.equal(await file.readFile("latin1"), "old");
      t.equal(await fs.readFile(mount.path("old"), "latin1"), "new");
      await file.close();
    });

    await t.test("a large directory is listed whole, with types", async (t) => {
      await fs.mkdir(mount.path("many"));
      const made = Array.from({ length: 3_000 }, (_, i) => `mailbox-with-a-longer-name-${i}`);
      for (const name of made) await fs.writeFile(mount.path(`many/${name}`), "");
      await fs.mkdir(mount.path("many/sub"));
      const entries = await fs.readdir(mount.path("many"), { withFileTypes: true });
      t.same(entries.map(({ name }) => name).sort(), [...made, "sub"].sort());
      t.same(
        entries.filter((entry) => entry.isDirectory()).map(({ name }) => name),
        ["sub"],
      );
      await t.rejects(fs.rmdir(mount.path("many")), { code: "ENOTEMPTY" });
    });

    await t.test("links, symlinks, modes and owners", async (t) => {
      await fs.link(mount.path("log"), mount.path("log2"));
      t.equal((await fs.stat(mount.path("log"))).nlink, 2);
      await fs.symlink("lög", mount.path("sym"));
      t.equal(await fs.readlink(mount.path("sym")), "lög");
      await fs.chmod(mount.path("log2"), 0o640);
      t.equal((await fs.stat(mount.path("log"))).mode & 0o777, 0o640);
      if (process.getuid!() === 0) {
        await fs.chown(mount.path("log"), 1234, 2345);
        t.match(await fs.stat(mount.path("log2")), { uid: 1234, gid: 2345 });
      }
    });

    await t.test("a write takes the set-user-id bit away", async (t) => {
      await fs.writeFile(mount.path("tool"), "#!");
      await fs.chmod(mount.path("tool"), 0o6755);
      await fs.appendFile(mount.path("tool"), "/bin/sh\n");
      t.equal((await fs.stat(mount.path("tool"))).mode & 0o7777, 0o755);
    });

    await t.test("the control file answers, though its size is 0", async (t) => {
      const control = await fs.open(mount.path(".onespool"), "r+");
      await control.write("x".repeat(50_000));
      const { buffer, bytesRead } = await control.read(Buffer.alloc(100), 0, 100, null);
      t.equal(buffer.toString("latin1", 0, bytesRead), "50000 bytes of request\n");
      const { size, mode, uid } = await control.stat();
      t.same([size, mode & 0o777, uid], [0, 0o600, process.getuid!()], "closed to other users");
      await control.close();
      t.notOk((await fs.readdir(mount.mountpoint)).includes(".onespool"));
    });

    await t.test("a name that is not UTF-8 is refused", async (t) => {
      const name = Buffer.concat([Buffer.from(mount.path("bad-")), Buffer.from([0xff])]);
      await t.rejects(fs.writeFile(name, ""), { code: "EINVAL" });
    });

    await t.test("many requests at once are all answered", async (t) => {
      const work = async (worker: number): Promise<void> => {
        for (let i = 0; i < 40; i++) {
          const name = mount.path(`w${worker}-${i}`);
          await fs.writeFile(name, `${worker}:${i}`);
          await fs.rename(name, `${name}-moved`);
          const text = await fs.readFile(`${name}-moved`, "latin1");
          if (text !== `${worker}:${i}`) throw new Error(`read ${text}`);
          await fs.unlink(`${name}-moved`);
        }
      };
      await t.resolves(Promise.all(Array.from({ length: 16 }, (_, worker) => work(worker))));
    });

    await t.test("a mount in use is not unmounted, and later it is", async (t) => {
      await fs.rm(mount.path("many"), { recursive: true });
      const file = await fs.open(mount.path("box"), "r");
      mount.askToUnmount();
      t.match(await mount.printed("busy"), "busy");
      await file.close();
      await once(spawn("umount", [mount.mountpoint], { stdio: "ignore" }), "exit");
      // box, log, old, sym and tool are left: what was removed while it was open is dropped.
      t.match(await mount.printed("unmounted"), "unmounted, 5 files");
      await mount.unmount();
    });
  },
);

await test(
  "a mount that somebody detaches ends with its last open file",
  { skip: canMount() ? false : "/dev/fuse cannot be opened", timeout: 60_000 },
  async (t) => {
    const mount = new ServedMount();
    t.teardown(() => mount.end());
    await mount.printed("mounted\n");
    const file = await fs.open(mount.path("box"), "wx+");
    const [program, flags] = process.getuid!() === 0 ? ["umount", "-l"] : ["fusermount", "-uz"];
    await once(spawn(program, [flags, mount.mountpoint], { stdio: "ignore" }), "exit");
    t.same(await fs.readdir(mount.mountpoint), []);
    await file.write("still there");
    t.equal((await file.stat()).size, 11);
    await file.close();
    t.match(await mount.printed("unmounted"), "unmounted, 1 files");
  },
);
