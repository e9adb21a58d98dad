/** The kernel binding on a real mount, with a small file system in memory behind it. */
import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import t from "tap";
import type { Test } from "tap";
import { mountKernel } from "../fs/kernel/mount.ts";
import type { KernelMountOptions } from "../fs/kernel/mount.ts";
import { MemoryOperations } from "./kernel-memory.ts";
import { Program, TestMount, run, whyNoAbort, whyNoMount } from "./kernel-mounted.ts";

// Some thirty mounts and the programs that use them, on a machine that may be slow.
t.setTimeout(300_000);

const skip = whyNoMount();
const skipAbort = await whyNoAbort();

const nothingLeft = { openHandles: 0, openDirectories: 0 };

async function mounted(
  t: Test,
  options: KernelMountOptions = {},
  errors: "inherit" | "ignore" = "inherit",
): Promise<TestMount> {
  const mount = new TestMount(options, errors);
  t.teardown(() => mount.clean());
  t.same(await mount.started(), { is: "mounted" });
  return mount;
}

for (const deviceReading of ["epoll", "pool"] as const) {
  t.test(`programs use the mount, read by ${deviceReading}`, { skip }, async (t) => {
    const mount = await mounted(t, { deviceReading });
    const work = await mount.sh(`
      echo hello > a; test "$(cat a)" = hello
      echo more >> a; test "$(wc -l < a)" = 2
      mkdir d; mv a d/b; ln -s d/b s; test "$(head -n 1 s)" = hello
      ln d/b e; test "$(stat -c %h e)" = 2; rm e
      truncate -s 3 d/b; test "$(cat d/b)" = hel
      seq 1 500000 > big; seq 1 500000 | cmp - big
      cp big copy; cmp big copy
      for i in $(seq 1 300); do : > d/file$i; done; test "$(ls d | wc -l)" = 301
      test "$(ls -la d | wc -l)" = 304
      rm -r d; df . > /dev/null; umask 027; : > masked; test "$(stat -c %a masked)" = 640`);
    t.same(work, { code: 0, output: "", errors: "" });
    t.equal(await mount.tell({ do: "unmount" }), 0);
    t.match(await mount.closed(), nothingLeft);
    t.equal(await mount.exited, 0);
  });

  t.test(`a broken invariant ends the process, read by ${deviceReading}`, { skip }, async (t) => {
    const mount = await mounted(t, { deviceReading }, "ignore");
    await mount.tell({ do: "break" });
    const looked = await run(["stat", join(mount.directory, "x")]);
    t.match(looked.errors, /Input\/output error/);
    t.equal(await mount.exited, 1);
  });
}

t.test("a write costs no GETXATTR", { skip }, async (t) => {
  const mount = await mounted(t);
  const { code } = await mount.sh("for i in $(seq 1 50); do echo $i; done > f");
  t.equal(code, 0);
  t.equal(await mount.calls("write"), 50);
  t.ok((await mount.calls("getXattr")) <= 2, `${await mount.calls("getXattr")} GETXATTR`);
});

t.test("cached bytes and attributes survive close and open", { skip }, async (t) => {
  const mount = await mounted(t);
  await mount.tell({ do: "put", name: "f", text: "x".repeat(100_000) });
  t.equal((await mount.sh("cat f; stat f > /dev/null")).output.length, 100_000);
  const reads = await mount.calls("read");
  const looks = await mount.calls("lookup");
  t.equal((await mount.sh("cat f; stat f > /dev/null; echo -n >> f")).output.length, 100_000);
  t.equal((await mount.sh("cat f")).output.length, 100_000);
  t.equal(await mount.calls("read"), reads);
  t.equal(await mount.calls("lookup"), looks);
});

const follower = `
import hashlib, mmap, os, sys
fd = os.open(sys.argv[1] + "/f", os.O_RDWR)
appending = os.open(sys.argv[1] + "/f", os.O_RDWR | os.O_APPEND)
views = []
def digest(data): return hashlib.sha256(data).hexdigest()
print("open", flush=True)
for line in sys.stdin:
    size = os.fstat(fd).st_size
    view = mmap.mmap(fd, size, prot=mmap.PROT_READ)
    views.append(view)
    again = [digest(old[:]) == digest(os.pread(fd, len(old), 0)) for old in views]
    print(size, digest(os.pread(fd, size, 0)), digest(view[:]), digest(os.pread(appending, size, 0)),
          all(again), flush=True)
`;

t.test(
  "bytes that a hint appends are seen by every program that has the file open",
  { skip },
  async (t) => {
    const mount = await mounted(t);
    let content = "0123456789";
    await mount.tell({ do: "put", name: "f", text: content });
    const program = new Program(["python3", "-c", follower, mount.directory]);
    t.equal(await program.line(), "open");
    for (let round = 1; round <= 100; round += 1) {
      const text = `${round} `.repeat(1 + ((round * 37) % 400));
      t.equal(await mount.tell({ do: "append", name: "f", text }), true);
      content += text;
      const digest = createHash("sha256").update(content).digest("hex");
      const expected = `${content.length} ${digest} ${digest} ${digest} True`;
      const answer = await program.ask("");
      if (answer !== expected) {
        t.equal(answer, expected, `round ${round}`);
        break;
      }
    }
    await program.end();
    t.equal((await mount.sh("cat f")).output, content);
  },
);

t.test("an inode that the kernel does not know needs no invalidation", { skip }, async (t) => {
  const mount = await mounted(t);
  await mount.tell({ do: "put", name: "f", text: "abc" });
  t.equal(await mount.tell({ do: "append", name: "f", text: "d" }), false);
  t.equal((await mount.sh("cat f")).output, "abcd");
  t.equal(await mount.tell({ do: "append", name: "f", text: "e" }), true);
  t.equal((await mount.sh("cat f")).output, "abcde");
});

t.test("a notification tells which inodes the kernel does not have", { skip }, async (t) => {
  const mount = await mounted(t);
  await mount.tell({ do: "put", name: "f", text: "abc" });
  const ino = Number((await mount.sh("stat -c %i f")).output);
  const missing = await mount.tell({ do: "notify", inodes: [777_777, ino, 1, 888_888] });
  t.same(missing, [777_777, -1, 888_888, -1]);
});

t.test(
  "an invalidation waits for a READ in flight without stopping the server",
  { skip },
  async (t) => {
    const mount = await mounted(t);
    await mount.tell({ do: "put", name: "f", text: "abc" });
    await mount.tell({ do: "slow", name: "f" });
    const reading = mount.sh("cat f");
    while ((await mount.state()).slowReads === 0);
    const appended = mount.tell({ do: "append", name: "f", text: "def" });
    t.equal((await mount.sh("echo other > g; cat g")).output, "other\n", "others go on");
    await mount.tell({ do: "finishReads" });
    t.equal(await appended, true);
    t.match((await reading).output, /^abc(def)?$/);
    t.equal((await mount.sh("cat f")).output, "abcdef");
  },
);

t.test("a process can die while its invalidation waits", { skip }, async (t) => {
  const mount = await mounted(t, {}, "ignore");
  await mount.tell({ do: "put", name: "f", text: "abc" });
  await mount.tell({ do: "slow", name: "f" });
  const reading = mount.sh("cat f");
  while ((await mount.state()).slowReads === 0);
  const appended = mount.tell({ do: "append", name: "f", text: "def" });
  await mount.tell({ do: "break" });
  await run(["stat", join(mount.directory, "x")]);
  t.equal(await mount.exited, 1);
  t.equal(await appended, undefined);
  t.not((await reading).code, 0);
});

t.test("O_APPEND set by fcntl is honoured and seen at the right place", { skip }, async (t) => {
  const mount = await mounted(t);
  await mount.tell({ do: "put", name: "f", text: "abc" });
  const program = new Program([
    "python3",
    "-c",
    `
import fcntl, os, sys
fd = os.open(sys.argv[1] + "/f", os.O_RDWR)
os.fstat(fd), os.pread(fd, 10, 0)
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
for line in sys.stdin:
    os.write(fd, line.strip().encode())
    print(os.fstat(fd).st_size, os.pread(fd, 100, 0).decode(), flush=True)
`,
    mount.directory,
  ]);
  t.equal(await program.ask("de"), "5 abcde");
  await mount.tell({ do: "appendSilently", name: "f", text: "HINT" });
  await program.ask("fg");
  t.equal((await mount.sh("cat f")).output, "abcdeHINTfg");
  t.equal(await program.ask("h"), "12 abcdeHINTfgh");
  await program.end();
});

t.test(
  "calls for which there is no operation fail or are done by the kernel",
  { skip },
  async (t) => {
    const mount = await mounted(t);
    await mount.tell({ do: "put", name: "f", text: "abcdef" });
    const { output, errors } = await mount.python(`
import array, errno, fcntl, os, select, struct, sys
fd = os.open(sys.argv[1] + "/f", os.O_RDWR)
poll = select.poll(); poll.register(fd, select.POLLIN); print(len(poll.poll(0)))
print(os.access(sys.argv[1] + "/f", os.R_OK))
for command in (0x5401, 0x80086601):
    try: fcntl.ioctl(fd, command, bytes(8)); print("done")
    except OSError as error: print(errno.errorcode[error.errno])
print(fcntl.ioctl(fd, 0xc0044f01, b"abcd"))
print(os.lseek(fd, 2, os.SEEK_HOLE), os.statvfs(fd).f_namemax)
os.posix_fallocate(fd, 0, 10); print(os.fstat(fd).st_size)
print(os.copy_file_range(fd, fd, 3, 0, 10), os.pread(fd, 20, 0))
os.fsync(fd); os.fdatasync(fd)
`);
    t.equal(errors, "");
    t.same(output.trim().split("\n"), [
      "1",
      "True",
      "ENOTTY",
      "ENOTTY",
      "b'dcba'",
      "6 255",
      "10",
      "3 b'abcdef\\x00\\x00\\x00\\x00abc'",
    ]);
  },
);

t.test("a wait for a lock ends by a signal, and by the unlock", { skip }, async (t) => {
  const mount = await mounted(t);
  await mount.tell({ do: "put", name: "f", text: "" });
  const holder = new Program([
    "python3",
    "-c",
    `
import fcntl, os, sys
fd = os.open(sys.argv[1] + "/f", os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX); print("locked", flush=True)
sys.stdin.readline()
fcntl.lockf(fd, fcntl.LOCK_UN); print("unlocked", flush=True)
sys.stdin.readline()
`,
    mount.directory,
  ]);
  t.equal(await holder.line(), "locked");
  const interrupted = new Program([
    "python3",
    "-c",
    `
import fcntl, os, signal, sys
class Signal(Exception): pass
def signalled(*_): raise Signal()
signal.signal(signal.SIGUSR1, signalled)
fd = os.open(sys.argv[1] + "/f", os.O_RDWR)
try: print(os.getpid(), flush=True); fcntl.lockf(fd, fcntl.LOCK_EX); print("locked", flush=True)
except Signal: print("interrupted", flush=True)
`,
    mount.directory,
  ]);
  const waiter = Number(await interrupted.line());
  while ((await mount.calls("setLockWait")) < 2);
  process.kill(waiter, "SIGUSR1");
  t.equal(await interrupted.line(), "interrupted");
  await interrupted.end();
  const waiting = mount.python(`
import fcntl, os, sys
fd = os.open(sys.argv[1] + "/f", os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX); print("locked")
`);
  while ((await mount.calls("setLockWait")) < 3);
  t.equal(await holder.ask(""), "unlocked");
  t.equal((await waiting).output, "locked\n");
  await holder.end();
});

t.test("set-user-id goes when an ordinary user writes, at once for stat", { skip }, async (t) => {
  const mount = await mounted(t);
  const { output, errors } = await mount.python(`
import os, sys
os.chdir(sys.argv[1])
fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o777); os.fchmod(fd, 0o6777); os.stat("f")
os.write(fd, b"by root"); print(oct(os.stat("f").st_mode & 0o7777))
os.seteuid(65534)
os.write(fd, b"x"); print(oct(os.stat("f").st_mode & 0o7777))
os.seteuid(0); os.fchmod(fd, 0o6777); os.seteuid(65534)
os.ftruncate(fd, 0); print(oct(os.stat("f").st_mode & 0o7777))
os.seteuid(0); os.fchmod(fd, 0o6777)
os.chown("f", 5, 5); print(oct(os.stat("f").st_mode & 0o7777))
`);
  t.equal(errors, "");
  t.equal(output, "0o6777\n0o777\n0o777\n0o777\n");
});

t.test("a mount that is in use is not unmounted", { skip }, async (t) => {
  const mount = await mounted(t);
  const user = new Program([
    "python3",
    "-c",
    "import os,sys; os.chdir(sys.argv[1]); print(1, flush=True); sys.stdin.read()",
    mount.directory,
  ]);
  await user.line();
  t.equal(await mount.tell({ do: "unmount" }), "MountError BUSY");
  await user.end();
  t.equal(await mount.tell({ do: "unmount" }), 0);
  t.equal(await mount.exited, 0);
});

t.test("a mount that is read-only refuses to write", { skip }, async (t) => {
  const mount = await mounted(t, { readOnly: true });
  t.match((await mount.sh("echo x > f")).errors, /Read-only file system/);
});

t.test(
  "an aborted connection ends reads in flight and closes the mount",
  { skip: skipAbort },
  async (t) => {
    const mount = await mounted(t);
    await mount.tell({ do: "put", name: "f", text: "abc" });
    await mount.tell({ do: "slow", name: "f" });
    const reading = mount.sh("cat f");
    while ((await mount.state()).slowReads === 0);
    await mount.abort();
    t.match((await reading).errors, /Software caused connection abort|not connected/);
    t.match(await mount.closed(), nothingLeft);
    t.equal(await mount.exited, 0);
    const again = new MemoryOperations();
    await t.rejects(mountKernel(mount.directory, again), {
      name: "MountError",
      code: "STALE_MOUNT",
    });
  },
);

for (const flag of ["-l", "-f"]) {
  t.test(`umount ${flag} of a mount in use closes it`, { skip }, async (t) => {
    const mount = await mounted(t);
    await mount.tell({ do: "put", name: "f", text: "abc" });
    const user = new Program([
      "python3",
      "-c",
      `
import os, sys
fd = os.open(sys.argv[1] + "/f", os.O_RDONLY); print(1, flush=True)
sys.stdin.readline()
try: print(os.read(fd, 3), flush=True)
except OSError as error: print(error.strerror, flush=True)
`,
      mount.directory,
    ]);
    await user.line();
    // -f aborts the connection and then finds that the mount is busy.
    await run(["umount", "-i", flag, mount.directory]);
    t.match(await user.ask(""), flag === "-l" ? "b'abc'" : /abort|not connected/);
    await user.end();
    t.match(await mount.closed(), nothingLeft);
    t.equal(await mount.exited, 0);
  });
}

t.test("what cannot be mounted gets a clear error", { skip }, async (t) => {
  const mount = await mounted(t);
  const file = join(tmpdir(), `onespool-mount-file-${process.pid}`);
  writeFileSync(file, "");
  t.teardown(() => rmSync(file));
  const operations = new MemoryOperations();
  await t.rejects(mountKernel(mount.directory, operations), { code: "BUSY" });
  await t.rejects(mountKernel(file, operations), { code: "NOT_A_DIRECTORY" });
  await t.rejects(mountKernel(join(file, "x"), operations), { code: "NOT_A_DIRECTORY" });
  await t.rejects(mountKernel(`${file}-absent`, operations), { code: "NO_MOUNTPOINT" });
  t.equal((await mount.sh("echo x > f; cat f")).output, "x\n", "the mount that was there lives");
});
