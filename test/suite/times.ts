/** Times. Each case sets a time to something long ago, so that a change shows whatever the clock does. */
import { deepEqual, equal, notEqual, ok } from "node:assert/strict";
import { constants } from "node:fs";
import { UTIME_NOW, UTIME_OMIT } from "./linux.ts";
import type { Cases, Place } from "./place.ts";
import type { Program } from "./program.ts";

const past = 1_000_000_000_123_000_000n;

export const times: Cases = {
  "times have nanoseconds": async (place) => {
    const [program, other] = [place.program(), place.program()];
    await program.writeFile(place.path("f"), "");
    await setBoth(program, place.path("f"), past + 456_789n, past + 7n);
    const { atime, mtime } = await other.stat(place.path("f"));
    deepEqual([atime, mtime], [past + 456_789n, past + 7n]);
  },

  "times before 1970 and after 2106 are kept": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "");
    for (const time of [-1n, -86_400_000_000_001n, 0n, 5_000_000_000_999_999_999n]) {
      await setBoth(program, place.path("f"), time, time - 1n);
      const { atime, mtime } = await program.stat(place.path("f"));
      deepEqual([atime, mtime], [time, time - 1n]);
    }
  },

  "UTIME_OMIT keeps a time and UTIME_NOW takes the clock's": async (place) => {
    const program = place.program();
    const path = place.path("f");
    await program.writeFile(path, "");
    await setBoth(program, path, past, past);
    await program.call("utimensat", path, [0, UTIME_OMIT], [5, 6]);
    deepEqual(await atimeAndMtime(program, path), [past, 5_000_000_006n]);
    await program.call("utimensat", path, [7, 8], [0, UTIME_OMIT]);
    deepEqual(await atimeAndMtime(program, path), [7_000_000_008n, 5_000_000_006n]);
    await program.call("utimensat", path, [0, UTIME_NOW], [0, UTIME_OMIT]);
    const [atime, mtime] = await atimeAndMtime(program, path);
    ok(atime! > past);
    equal(mtime, 5_000_000_006n);
    await program.call("utimensat", path, [0, UTIME_OMIT], [0, UTIME_NOW]);
    ok((await program.stat(path)).mtime > past);
  },

  "a symlink has times of its own": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "");
    await setBoth(program, place.path("f"), past, past);
    await program.call("os.symlink", "f", place.path("l"));
    await program.call("utimensat", place.path("l"), [1, 2], [3, 4], 0x100);
    const link = await program.lstat(place.path("l"));
    equal(link.mtime, 3_000_000_004n);
    equal((await program.stat(place.path("l"))).mtime, past);
  },

  "writing and cutting change mtime": async (place) => {
    const program = place.program();
    const path = place.path("f");
    const fd = await program.open(path, constants.O_RDWR | constants.O_CREAT);
    const changes = [
      () => program.pwrite(fd, "12345", 0),
      () => program.call("os.ftruncate", fd, 2),
      () => program.call("os.truncate", path, 9),
      () => program.writeFile(path, ""),
    ];
    for (const change of changes) {
      await setBoth(program, path, past, past);
      await change();
      notEqual((await program.fstat(fd)).mtime, past);
      equal((await program.fstat(fd)).atime, past);
    }
  },

  "reading and chmod leave mtime alone": async (place) => {
    const program = place.program();
    const path = place.path("f");
    await program.writeFile(path, "12345");
    await setBoth(program, path, past, past);
    await program.readFile(path);
    await program.call("os.chmod", path, 0o600);
    await program.rename(path, place.path("g"));
    equal((await program.stat(place.path("g"))).mtime, past);
  },

  "a time that was set stays while the file is open for writing": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), constants.O_RDWR | constants.O_CREAT);
    await program.write(fd, "12345");
    await setBoth(program, place.path("f"), past, past);
    await program.call("os.fsync", fd);
    await program.close(fd);
    equal((await program.stat(place.path("f"))).mtime, past);
  },

  "every change of the inode moves ctime on": async (place) => {
    const program = place.program();
    const path = place.path("f");
    await program.writeFile(path, "12345");
    const changes = [
      () => program.call("os.chmod", path, 0o600),
      () => program.call("os.link", path, place.path("g")),
      () => program.unlink(place.path("g")),
      () => program.call("os.setxattr", path, "user.a", "x"),
      () => setBoth(program, path, past, past),
      () => program.call("os.truncate", path, 2),
    ];
    for (const change of changes) {
      const { ctime } = await program.stat(path);
      // ext4 takes ctime from a clock that moves with the timer interrupt.
      await program.call("sleep_until_clock_moves");
      await change();
      ok((await program.stat(path)).ctime > ctime, String(change));
    }
  },

  "a directory's mtime changes with its names": async (place) => {
    const [program, other] = [place.program(), place.program()];
    const path = place.path("d");
    await program.mkdir(path);
    const changes = [
      () => program.writeFile(`${path}/a`, "x"),
      () => program.mkdir(`${path}/b`),
      () => program.rename(`${path}/a`, `${path}/c`),
      () => program.call("os.link", `${path}/c`, `${path}/d`),
      () => program.unlink(`${path}/c`),
      () => program.call("os.rmdir", `${path}/b`),
    ];
    for (const change of changes) {
      await setBoth(program, path, past, past);
      equal((await other.stat(path)).mtime, past);
      await change();
      notEqual((await other.stat(path)).mtime, past, String(change));
    }
    await setBoth(program, path, past, past);
    await program.writeFile(`${path}/d`, "content is not a name");
    equal((await other.stat(path)).mtime, past);
  },
};

async function setBoth(
  program: Program,
  path: string,
  atime: bigint,
  mtime: bigint,
): Promise<void> {
  await program.callWith({ ns: [atime, mtime] }, "os.utime", path);
}

async function atimeAndMtime(program: Program, path: Place["directory"]): Promise<bigint[]> {
  const { atime, mtime } = await program.stat(path);
  return [atime, mtime];
}
