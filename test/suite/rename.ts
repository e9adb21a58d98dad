/** rename(2) and renameat2(2). */
import { deepEqual, equal } from "node:assert/strict";
import { constants } from "node:fs";
import { refuses, waits } from "./expect.ts";
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from "./linux.ts";
import type { Cases } from "./place.ts";

export const renames: Cases = {
  "rename replaces a file in one step": async (place) => {
    const [one, two] = [place.program(), place.program()];
    await one.writeFile(place.path("a"), "new");
    await one.writeFile(place.path("b"), "old");
    const { ino } = await one.stat(place.path("a"));
    equal((await two.stat(place.path("b"))).size, 3);
    await one.rename(place.path("a"), place.path("b"));
    equal((await two.stat(place.path("b"))).ino, ino);
    equal(await two.text(place.path("b")), "new");
    deepEqual(await two.list(place.directory), ["b"]);
  },

  "a name that is always being replaced is always there": async (place) => {
    const [writer, reader] = [place.program(), place.program()];
    await writer.writeFile(place.path("box"), "0\n");
    const writing = (async () => {
      for (let i = 1; i <= 200; i++) {
        await writer.writeFile(place.path("tmp"), `${i}\n`.repeat(i + 1));
        await writer.rename(place.path("tmp"), place.path("box"));
      }
    })();
    while (await waits(writing)) {
      const text = await reader.text(place.path("box"));
      const number = Number.parseInt(text, 10);
      equal(text, `${number}\n`.repeat(number + 1));
    }
    await writing;
  },

  "a replaced file that is open keeps its bytes": async (place) => {
    const [one, two] = [place.program(), place.program()];
    await one.writeFile(place.path("b"), "old bytes");
    const fd = await two.open(place.path("b"), constants.O_RDWR);
    await one.writeFile(place.path("a"), "new");
    await one.rename(place.path("a"), place.path("b"));
    equal((await two.fstat(fd)).nlink, 0);
    await two.pwrite(fd, "OLD", 0);
    equal((await two.pread(fd, 100, 0)).toString(), "OLD bytes");
    equal(await one.text(place.path("b")), "new");
  },

  "an open file is written under its new name": async (place) => {
    const [one, two] = [place.program(), place.program()];
    const fd = await one.open(place.path("a"), constants.O_RDWR | constants.O_CREAT);
    await one.write(fd, "one");
    await two.mkdir(place.path("d"));
    await two.rename(place.path("a"), place.path("d/b"));
    await one.write(fd, "two");
    equal(await two.text(place.path("d/b")), "onetwo");
    await refuses(one.stat(place.path("a")), "ENOENT");
  },

  "rename onto itself and onto another name of the same file does nothing": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("a"), "x");
    await program.rename(place.path("a"), place.path("a"));
    await program.call("os.link", place.path("a"), place.path("b"));
    await program.rename(place.path("a"), place.path("b"));
    deepEqual(await program.list(place.directory), ["a", "b"]);
    equal((await program.stat(place.path("a"))).nlink, 2);
  },

  "directories move with what is in them": async (place) => {
    const [one, two] = [place.program(), place.program()];
    await one.call("os.makedirs", place.path("a/b/c"));
    await one.writeFile(place.path("a/b/c/f"), "x");
    await one.mkdir(place.path("to"));
    equal(await two.text(place.path("a/b/c/f")), "x");
    await one.rename(place.path("a/b"), place.path("to/b2"));
    equal(await two.text(place.path("to/b2/c/f")), "x");
    await refuses(two.stat(place.path("a/b")), "ENOENT");
    equal((await two.stat(place.path("to/b2/.."))).ino, (await two.stat(place.path("to"))).ino);
  },

  "a directory replaces an empty directory only": async (place) => {
    const program = place.program();
    for (const name of ["a", "empty", "full"]) await program.mkdir(place.path(name));
    await program.writeFile(place.path("full/f"), "");
    await program.writeFile(place.path("file"), "");
    await refuses(program.rename(place.path("a"), place.path("full")), "ENOTEMPTY");
    await refuses(program.rename(place.path("a"), place.path("file")), "ENOTDIR");
    await refuses(program.rename(place.path("file"), place.path("a")), "EISDIR");
    await program.writeFile(place.path("a/g"), "");
    await program.rename(place.path("a"), place.path("empty"));
    deepEqual(await program.list(place.path("empty")), ["g"]);
    deepEqual(await program.list(place.directory), ["empty", "file", "full"]);
  },

  "a directory cannot move into itself": async (place) => {
    const program = place.program();
    await program.call("os.makedirs", place.path("a/b/c"));
    await refuses(program.rename(place.path("a"), place.path("a/x")), "EINVAL");
    await refuses(program.rename(place.path("a"), place.path("a/b/c/x")), "EINVAL");
    await refuses(program.rename(place.path("a/b/c"), place.path("a")), "ENOTEMPTY");
    deepEqual(await program.list(place.path("a/b")), ["c"]);
  },

  "RENAME_NOREPLACE refuses a name that is taken": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("a"), "a");
    await program.writeFile(place.path("b"), "b");
    const call = (from: string, to: string) =>
      program.call("renameat2", place.path(from), place.path(to), RENAME_NOREPLACE);
    await refuses(call("a", "b"), "EEXIST");
    equal(await program.text(place.path("b")), "b");
    await call("a", "c");
    deepEqual(await program.list(place.directory), ["b", "c"]);
  },

  "RENAME_EXCHANGE swaps two names": async (place) => {
    const [program, other] = [place.program(), place.program()];
    await program.writeFile(place.path("f"), "file");
    await program.call("os.makedirs", place.path("d/sub"));
    await program.mkdir(place.path("e"));
    const call = (from: string, to: string) =>
      program.call("renameat2", place.path(from), place.path(to), RENAME_EXCHANGE);
    await call("f", "d");
    equal(await other.text(place.path("d")), "file");
    deepEqual(await other.list(place.path("f")), ["sub"]);
    await call("f/sub", "e");
    deepEqual(await other.list(place.path("f")), ["sub"]);
    await refuses(call("f", "nothing"), "ENOENT");
    await refuses(call("f", "f/sub"), "EINVAL");
    await refuses(call("f/sub", "f"), "EINVAL");
    equal((await other.stat(place.path("f"))).nlink, 3);
  },

  "unknown rename flags are EINVAL": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("a"), "a");
    await refuses(program.call("renameat2", place.path("a"), place.path("b"), 0x80), "EINVAL");
    await refuses(program.call("renameat2", place.path("a"), place.path("b"), 3), "EINVAL");
  },
};
