/** Files and directories without a name that are still open. */
import { deepEqual, equal } from "node:assert/strict";
import { constants } from "node:fs";
import { pattern, refuses } from "./expect.ts";
import { O_TMPFILE } from "./linux.ts";
import type { Cases } from "./place.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_RDWR } = constants;

export const unlinked: Cases = {
  "an unlinked file that is open is read, written and cut": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    await program.write(fd, pattern(50_000));
    await program.unlink(place.path("f"));
    deepEqual(await program.list(place.directory), []);
    const { nlink, size } = await program.fstat(fd);
    deepEqual([nlink, size], [0, 50_000]);
    await program.pwrite(fd, "changed", 49_000);
    await program.call("os.ftruncate", fd, 49_004);
    deepEqual(
      await program.pread(fd, 100_000, 0),
      Buffer.concat([pattern(50_000).subarray(0, 49_000), Buffer.from("chan")]),
    );
    await program.call("os.fchmod", fd, 0o600);
    await program.call("os.fsync", fd);
    equal((await program.fstat(fd)).size, 49_004);
  },

  "a new file of the same name is another file": async (place) => {
    const [one, two] = [place.program(), place.program()];
    const fd = await one.open(place.path("f"), O_RDWR | O_CREAT);
    await one.write(fd, "old");
    await two.unlink(place.path("f"));
    await two.writeFile(place.path("f"), "new one");
    equal((await one.pread(fd, 100, 0)).toString(), "old");
    equal(await one.text(place.path("f")), "new one");
  },

  "many unlinked files are open at once": async (place) => {
    const program = place.program();
    const open: number[] = [];
    for (let i = 0; i < 200; i++) {
      const fd = await program.open(place.path(`f${i}`), O_RDWR | O_CREAT | O_EXCL);
      await program.write(fd, `file ${i}`);
      await program.unlink(place.path(`f${i}`));
      open.push(fd);
    }
    for (const [i, fd] of open.entries()) {
      equal((await program.pread(fd, 100, 0)).toString(), `file ${i}`);
    }
  },

  "a mapped file lives on without name and descriptor": async (place) => {
    const [one, two] = [place.program(), place.program()];
    await one.writeFile(place.path("f"), pattern(10_000));
    const fd = await one.open(place.path("f"));
    const map = (await one.call("mmap", fd, 10_000, 1, 1)) as number;
    await one.close(fd);
    await two.unlink(place.path("f"));
    deepEqual(await one.call("map_read", map, 0, 10_000), pattern(10_000));
  },

  "a removed directory that is open is empty and takes no names": async (place) => {
    const program = place.program();
    await program.mkdir(place.path("d"));
    const fd = await program.open(place.path("d"), O_DIRECTORY);
    await program.call("os.rmdir", place.path("d"));
    equal((await program.fstat(fd)).nlink, 0);
    deepEqual(await program.call("os.listdir", fd), []);
    const inside = { dir_fd: fd };
    await refuses(program.callWith(inside, "os.mkdir", "x"), "ENOENT");
    await refuses(program.callWith(inside, "os.open", "x", O_RDWR | O_CREAT), "ENOENT");
    await program.mkdir(place.path("d"));
    await refuses(program.callWith(inside, "os.stat", "x"), "ENOENT");
  },

  "O_TMPFILE makes a file without a name": async (place) => {
    const program = place.program();
    const fd = await program.open(place.directory, O_TMPFILE | O_RDWR, 0o640);
    await program.write(fd, pattern(5000));
    const { nlink, size, mode } = await program.fstat(fd);
    deepEqual([nlink, size, mode], [0, 5000, constants.S_IFREG | 0o640]);
    deepEqual(await program.list(place.directory), []);
    deepEqual(await program.pread(fd, 9000, 0), pattern(5000));
  },

  "linkat gives an O_TMPFILE a name": async (place) => {
    const [program, other] = [place.program(), place.program()];
    const fd = await program.open(place.directory, O_TMPFILE | O_RDWR, 0o644);
    await program.write(fd, "whole");
    await program.call("link_fd", fd, place.path("f"));
    equal(await other.text(place.path("f")), "whole");
    equal((await other.stat(place.path("f"))).nlink, 1);
    await program.write(fd, " and more");
    equal(await other.text(place.path("f")), "whole and more");
    const excluded = await program.open(place.directory, O_TMPFILE | O_RDWR | O_EXCL, 0o644);
    await refuses(program.call("link_fd", excluded, place.path("g")), "ENOENT");
  },
};
