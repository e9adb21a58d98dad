/** Hard links and symbolic links. */
import { deepEqual, equal } from "node:assert/strict";
import { constants } from "node:fs";
import { refuses } from "./expect.ts";
import type { Cases } from "./place.ts";

export const links: Cases = {
  "hard links share one file": async (place) => {
    const [one, two] = [place.program(), place.program()];
    await one.writeFile(place.path("a"), "12345");
    await one.call("os.link", place.path("a"), place.path("b"));
    const [a, b] = [await one.stat(place.path("a")), await two.stat(place.path("b"))];
    deepEqual([a.ino, a.nlink, b.nlink], [b.ino, 2, 2]);
    await two.writeFile(place.path("b"), "changed");
    equal(await one.text(place.path("a")), "changed");
    await one.unlink(place.path("a"));
    equal((await two.stat(place.path("b"))).nlink, 1);
    equal(await two.text(place.path("b")), "changed");
  },

  "a link does not replace and a directory has no second name": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("a"), "a");
    await program.writeFile(place.path("b"), "b");
    await program.mkdir(place.path("d"));
    await refuses(program.call("os.link", place.path("a"), place.path("b")), "EEXIST");
    await refuses(program.call("os.link", place.path("d"), place.path("e")), "EPERM");
    equal(await program.text(place.path("b")), "b");
  },

  "links go across directories": async (place) => {
    const program = place.program();
    await program.mkdir(place.path("d"));
    await program.writeFile(place.path("a"), "a");
    await program.call("os.link", place.path("a"), place.path("d/b"));
    await program.call("os.unlink", place.path("a"));
    equal(await program.text(place.path("d/b")), "a");
  },

  "many links count": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("a"), "");
    const made = Array.from({ length: 500 }, (_, i) => place.path(`link-${i}`));
    await Promise.all(made.map((path) => program.call("os.link", place.path("a"), path)));
    equal((await program.stat(place.path("a"))).nlink, 501);
    await Promise.all(made.map((path) => program.unlink(path)));
    equal((await program.stat(place.path("a"))).nlink, 1);
  },

  "a symlink keeps its target byte by byte": async (place) => {
    const program = place.program();
    const targets = ["x", "no/such/place", "\xff\xfe\n", "../../..", "/", "t".repeat(4000)];
    for (const [i, target] of targets.entries()) {
      const path = place.path(`l${i}`);
      await program.call("os.symlink", target, path);
      const read = (await program.call("os.readlink", path)) as Buffer;
      equal(read.toString("latin1"), target);
      const stat = await program.lstat(path);
      deepEqual([stat.size, stat.mode & constants.S_IFMT], [target.length, constants.S_IFLNK]);
    }
    await refuses(program.call("os.symlink", "x", place.path("l0")), "EEXIST");
    await refuses(program.call("os.readlink", place.directory), "EINVAL");
  },

  "a symlink is followed unless the program says no": async (place) => {
    const program = place.program();
    await program.mkdir(place.path("d"));
    await program.writeFile(place.path("d/f"), "through");
    await program.call("os.symlink", "d", place.path("l"));
    equal(await program.text(place.path("l/f")), "through");
    await program.call("os.symlink", "d/f", place.path("m"));
    await refuses(program.open(place.path("m"), constants.O_NOFOLLOW), "ELOOP");
    await program.call("os.symlink", "d/new", place.path("n"));
    await refuses(program.open(place.path("n")), "ENOENT");
    await program.writeFile(place.path("n"), "made");
    equal(await program.text(place.path("d/new")), "made");
    await program.unlink(place.path("m"));
    equal(await program.text(place.path("d/f")), "through");
  },

  "a symlink can have a second name": async (place) => {
    const program = place.program();
    await program.call("os.symlink", "target", place.path("l"));
    await program.callWith({ follow_symlinks: false }, "os.link", place.path("l"), place.path("m"));
    const [l, m] = [await program.lstat(place.path("l")), await program.lstat(place.path("m"))];
    deepEqual([l.ino, l.nlink], [m.ino, 2]);
    equal(String(await program.call("os.readlink", place.path("m"))), "target");
  },
};
