/** Modes, umask and what a program without rights of its own can see of them. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { constants } from "node:fs";
import { pattern } from "./expect.ts";
import type { Cases } from "./place.ts";

const { O_CREAT, O_RDWR, O_WRONLY } = constants;

export const attributes: Cases = {
  "chmod sets the twelve bits and keeps the type": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "");
    await program.mkdir(place.path("d"));
    for (const mode of [0o000, 0o644, 0o777, 0o4755, 0o1700]) {
      await program.call("os.chmod", place.path("f"), mode);
      equal((await program.stat(place.path("f"))).mode, constants.S_IFREG | mode);
      await program.call("os.chmod", place.path("d"), mode);
      equal((await program.stat(place.path("d"))).mode, constants.S_IFDIR | mode);
    }
    const fd = await program.open(place.path("f"), O_RDWR);
    await program.call("os.fchmod", fd, 0o640);
    equal((await program.fstat(fd)).mode & 0o7777, 0o640);
  },

  "the umask is taken from what a program asks for": async (place) => {
    const program = place.program();
    await program.call("os.umask", 0o027);
    await program.close(await program.open(place.path("f"), O_WRONLY | O_CREAT, 0o666));
    await program.mkdir(place.path("d"), 0o777);
    await program.call("os.mkfifo", place.path("p"), 0o666);
    await program.call("os.umask", 0);
    await program.close(await program.open(place.path("g"), O_WRONLY | O_CREAT, 0o666));
    const modes = await Promise.all(
      ["f", "d", "p", "g"].map(
        async (name) => (await program.stat(place.path(name))).mode & 0o7777,
      ),
    );
    deepEqual(modes, [0o640, 0o750, 0o640, 0o666]);
  },

  "a file made with a mode that forbids writing can be written by its maker": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_WRONLY | O_CREAT, 0o444);
    await program.write(fd, "12345");
    equal(await program.text(place.path("f")), "12345");
    equal((await program.stat(place.path("f"))).mode & 0o777, 0o444);
  },

  "what is made belongs to its maker": async (place) => {
    const program = place.program();
    const [uid, gid] = [await program.call("os.getuid"), await program.call("os.getgid")];
    await program.writeFile(place.path("f"), "");
    await program.mkdir(place.path("d"));
    await program.call("os.symlink", "x", place.path("l"));
    for (const name of ["f", "d", "l"]) {
      const stat = await program.lstat(place.path(name));
      deepEqual([stat.uid, stat.gid], [uid, gid], name);
    }
  },

  "a directory passes its set-gid bit to directories only": async (place) => {
    const program = place.program();
    await program.mkdir(place.path("d"));
    await program.call("os.chmod", place.path("d"), 0o2775);
    await program.mkdir(place.path("d/d"));
    await program.writeFile(place.path("d/f"), "");
    equal((await program.stat(place.path("d/d"))).mode & 0o7777, 0o2755);
    equal((await program.stat(place.path("d/f"))).mode & 0o7777, 0o644);
  },

  "stat and fstat and a second program agree": async (place) => {
    const [one, two] = [place.program(), place.program()];
    const fd = await one.open(place.path("f"), O_RDWR | O_CREAT);
    await one.write(fd, pattern(12_345));
    await one.call("os.fsync", fd);
    deepEqual(await one.fstat(fd), await one.stat(place.path("f")));
    deepEqual(await one.fstat(fd), await two.stat(place.path("f")));
  },

  "st_blocks of a file without holes tells its size": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    await program.write(fd, pattern(100_000));
    await program.call("os.fsync", fd);
    const { blocks } = await program.fstat(fd);
    ok(blocks * 512 >= 100_000 && blocks * 512 < 110_000, `${blocks} blocks`);
  },

  "two files have two inode numbers and one keeps its own": async (place) => {
    const [one, two] = [place.program(), place.program()];
    await one.writeFile(place.path("f"), "");
    await one.writeFile(place.path("g"), "");
    const { ino } = await one.stat(place.path("f"));
    ok(ino !== (await one.stat(place.path("g"))).ino);
    await one.rename(place.path("f"), place.path("h"));
    equal((await two.stat(place.path("h"))).ino, ino);
    equal((await two.stat(place.path("h"))).dev, (await two.stat(place.directory)).dev);
  },
};
