/** FIFOs, sockets and statfs. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { constants } from "node:fs";
import { refuses } from "./expect.ts";
import type { Cases } from "./place.ts";

export interface FileSystemStat {
  readonly f_bsize: number;
  readonly f_frsize: number;
  readonly f_blocks: number;
  readonly f_bfree: number;
  readonly f_bavail: number;
  readonly f_files: number;
  readonly f_namemax: number;
}

export const special: Cases = {
  "a FIFO carries bytes from one program to another": async (place) => {
    const [one, two] = [place.program(), place.program()];
    await one.call("os.mkfifo", place.path("p"), 0o600);
    equal((await two.stat(place.path("p"))).mode, constants.S_IFIFO | 0o600);
    const opening = one.open(place.path("p"), constants.O_RDONLY);
    const fd = await two.open(place.path("p"), constants.O_WRONLY);
    const reading = await opening;
    await two.write(fd, "through the pipe");
    equal((await one.read(reading, 100)).toString(), "through the pipe");
    await two.close(fd);
    equal((await one.read(reading, 100)).length, 0);
  },

  "a socket takes a connection": async (place) => {
    const [one, two] = [place.program(), place.program()];
    // A socket's path has at most 107 bytes: relative to the directory it is short.
    for (const program of [one, two]) await program.call("os.chdir", place.directory);
    await one.call("listen", "s");
    equal((await two.stat("s")).mode & constants.S_IFMT, constants.S_IFSOCK);
    const fd = await two.open("/dev/null");
    await two.call("send_fd", "s", fd);
    ok(((await one.call("receive_fd", "s")) as number) >= 0);
  },

  "mknod makes an empty file": async (place) => {
    const program = place.program();
    await program.call("os.mknod", place.path("f"), constants.S_IFREG | 0o640);
    const { mode, size } = await program.stat(place.path("f"));
    deepEqual([mode, size], [constants.S_IFREG | 0o640, 0]);
    await refuses(program.call("os.mknod", place.path("f"), constants.S_IFREG | 0o640), "EEXIST");
  },

  "statfs tells space and the longest name": async (place) => {
    const program = place.program();
    const stat = (await program.call("os.statvfs", place.directory)) as FileSystemStat;
    ok(stat.f_bsize > 0 && stat.f_frsize > 0 && stat.f_blocks > 0);
    ok(stat.f_bavail <= stat.f_bfree && stat.f_bfree <= stat.f_blocks);
    equal(stat.f_namemax, 255);
    await program.writeFile(place.path("f"), "");
    const fd = await program.open(place.path("f"));
    equal(((await program.call("os.fstatvfs", fd)) as FileSystemStat).f_blocks, stat.f_blocks);
  },
};
