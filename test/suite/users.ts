/** Who may do what: cases that need root, to become two users. */
import { deepEqual, equal } from "node:assert/strict";
import { constants } from "node:fs";
import { refuses } from "./expect.ts";
import { alice, bob, sharedGroup, type Cases } from "./place.ts";

const { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY } = constants;

export const users: Cases = {
  "a user cannot read or write another's 0600 file": async (place) => {
    const [root, one, two] = [place.program(), place.program(alice), place.program(bob)];
    await root.call("os.chmod", place.directory, 0o777);
    const fd = await one.open(place.path("mailbox"), O_RDWR | O_CREAT, 0o600);
    await one.write(fd, "private");
    await refuses(two.open(place.path("mailbox"), O_RDONLY), "EACCES");
    await refuses(two.open(place.path("mailbox"), O_WRONLY), "EACCES");
    await refuses(two.call("os.truncate", place.path("mailbox"), 0), "EACCES");
    await refuses(two.call("os.chmod", place.path("mailbox"), 0o666), "EPERM");
    await refuses(two.call("os.chown", place.path("mailbox"), bob.uid, -1), "EPERM");
    equal(await one.text(place.path("mailbox")), "private");
    equal(await root.text(place.path("mailbox")), "private");
  },

  "what a user makes is the user's": async (place) => {
    const [root, one] = [place.program(), place.program(alice)];
    await root.call("os.chmod", place.directory, 0o777);
    await one.writeFile(place.path("f"), "");
    await one.mkdir(place.path("d"));
    await one.call("os.symlink", "x", place.path("l"));
    await one.call("os.mkfifo", place.path("p"));
    for (const name of ["f", "d", "l", "p"]) {
      const { uid, gid } = await root.lstat(place.path(name));
      deepEqual([uid, gid], [alice.uid, alice.gid], name);
    }
  },

  "a supplementary group gives access": async (place) => {
    const [root, member, stranger] = [
      place.program(),
      place.program({ ...alice, groups: [sharedGroup] }),
      place.program(bob),
    ];
    await root.writeFile(place.path("f"), "for the group");
    await root.call("os.chown", place.path("f"), 0, sharedGroup);
    await root.call("os.chmod", place.path("f"), 0o660);
    equal(await member.text(place.path("f")), "for the group");
    await member.close(await member.open(place.path("f"), O_RDWR));
    await refuses(stranger.open(place.path("f")), "EACCES");
  },

  "a directory without search permission hides what is in it": async (place) => {
    const [root, one] = [place.program(), place.program(alice)];
    await root.mkdir(place.path("d"));
    await root.writeFile(place.path("d/f"), "x");
    await root.call("os.chmod", place.path("d"), 0o744);
    await refuses(one.stat(place.path("d/f")), "EACCES");
    await root.call("os.chmod", place.path("d"), 0o711);
    equal(await one.text(place.path("d/f")), "x");
    await refuses(one.list(place.path("d")), "EACCES");
    await refuses(one.writeFile(place.path("d/g"), ""), "EACCES");
    await refuses(one.unlink(place.path("d/f")), "EACCES");
  },

  "in a sticky directory only owners remove and rename": async (place) => {
    const [root, one, two] = [place.program(), place.program(alice), place.program(bob)];
    await root.mkdir(place.path("t"));
    await root.call("os.chmod", place.path("t"), 0o1777);
    await one.writeFile(place.path("t/f"), "");
    await two.writeFile(place.path("t/g"), "");
    await refuses(two.unlink(place.path("t/f")), "EPERM");
    await refuses(two.rename(place.path("t/f"), place.path("t/h")), "EPERM");
    await refuses(two.rename(place.path("t/g"), place.path("t/f")), "EPERM");
    await one.rename(place.path("t/f"), place.path("t/h"));
    await one.unlink(place.path("t/h"));
    await two.unlink(place.path("t/g"));
  },

  "a set-gid directory gives its group to what is made in it": async (place) => {
    const [root, one] = [place.program(), place.program({ ...alice, groups: [sharedGroup] })];
    await root.mkdir(place.path("d"));
    await root.call("os.chown", place.path("d"), -1, sharedGroup);
    await root.call("os.chmod", place.path("d"), 0o2777);
    await one.writeFile(place.path("d/f"), "");
    await one.mkdir(place.path("d/d"));
    await one.call("os.symlink", "x", place.path("d/l"));
    for (const name of ["f", "d", "l"]) {
      const { uid, gid } = await root.lstat(place.path(`d/${name}`));
      deepEqual([uid, gid], [alice.uid, sharedGroup], name);
    }
    equal((await root.stat(place.path("d/d"))).mode & 0o2000, 0o2000);
  },

  "chown is root's, chgrp to an own group the owner's": async (place) => {
    const [root, one] = [place.program(), place.program({ ...alice, groups: [sharedGroup] })];
    await root.call("os.chmod", place.directory, 0o777);
    await one.writeFile(place.path("f"), "");
    await refuses(one.call("os.chown", place.path("f"), bob.uid, -1), "EPERM");
    await refuses(one.call("os.chown", place.path("f"), -1, bob.gid), "EPERM");
    await one.call("os.chown", place.path("f"), -1, sharedGroup);
    equal((await root.stat(place.path("f"))).gid, sharedGroup);
    await root.call("os.chown", place.path("f"), bob.uid, bob.gid);
    const { uid, gid } = await root.stat(place.path("f"));
    deepEqual([uid, gid], [bob.uid, bob.gid]);
    await root.call("os.chown", place.path("f"), -1, -1);
    const after = await root.stat(place.path("f"));
    deepEqual([after.uid, after.gid], [bob.uid, bob.gid]);
  },

  "lchown changes the link and not its target": async (place) => {
    const root = place.program();
    await root.writeFile(place.path("f"), "");
    await root.call("os.symlink", "f", place.path("l"));
    await root.call("os.lchown", place.path("l"), alice.uid, alice.gid);
    equal((await root.lstat(place.path("l"))).uid, alice.uid);
    equal((await root.stat(place.path("f"))).uid, 0);
  },

  "a write by another user takes the set-uid and set-gid bits away": async (place) => {
    const [root, one] = [place.program(), place.program(alice)];
    await root.writeFile(place.path("f"), "12345");
    await root.call("os.chmod", place.path("f"), 0o6777);
    const fd = await one.open(place.path("f"), O_RDWR);
    await one.pwrite(fd, "x", 0);
    equal((await root.stat(place.path("f"))).mode & 0o7777, 0o777);
    await root.call("os.chmod", place.path("f"), 0o6777);
    await one.call("os.ftruncate", fd, 2);
    equal((await root.stat(place.path("f"))).mode & 0o7777, 0o777);
  },

  "chown takes the set-uid and set-gid bits of a program away": async (place) => {
    const root = place.program();
    await root.writeFile(place.path("f"), "12345");
    await root.call("os.chmod", place.path("f"), 0o6755);
    await root.call("os.chown", place.path("f"), alice.uid, alice.gid);
    equal((await root.stat(place.path("f"))).mode & 0o7777, 0o755);
  },

  "chmod by an owner outside the file's group drops set-gid": async (place) => {
    const [root, one] = [place.program(), place.program(alice)];
    await root.writeFile(place.path("f"), "");
    await root.call("os.chown", place.path("f"), alice.uid, sharedGroup);
    await one.call("os.chmod", place.path("f"), 0o2755);
    equal((await root.stat(place.path("f"))).mode & 0o7777, 0o755);
  },

  "times may be set to now by a writer, to a value by the owner": async (place) => {
    const [root, one] = [place.program(), place.program(alice)];
    await root.writeFile(place.path("f"), "");
    await root.call("os.chmod", place.path("f"), 0o666);
    await one.call("os.utime", place.path("f"));
    await refuses(one.callWith({ ns: [1, 1] }, "os.utime", place.path("f")), "EPERM");
    await root.call("os.chmod", place.path("f"), 0o644);
    await refuses(one.call("os.utime", place.path("f")), "EACCES");
  },

  "a device node works": async (place) => {
    const root = place.program();
    await root.call("os.chmod", place.directory, 0o777);
    await root.call("os.mknod", place.path("null"), constants.S_IFCHR | 0o666, 0x103);
    const stat = await root.stat(place.path("null"));
    deepEqual([stat.mode, stat.rdev], [constants.S_IFCHR | 0o644, 0x103]);
    const fd = await root.open(place.path("null"), O_RDWR);
    equal(await root.write(fd, "gone"), 4);
    equal((await root.read(fd, 10)).length, 0);
    const one = place.program(alice);
    await refuses(
      one.call("os.mknod", place.path("own"), constants.S_IFCHR | 0o666, 0x103),
      "EPERM",
    );
  },

  "a set-gid program runs with the file's group": async (place) => {
    const [root, one] = [place.program(), place.program(alice)];
    await root.writeFile(place.path("id"), await root.readFile("/usr/bin/id"));
    await root.call("os.chown", place.path("id"), 0, sharedGroup);
    await root.call("os.chmod", place.path("id"), 0o2755);
    equal(String(await one.call("output_of", place.path("id"), "-g")), `${sharedGroup}\n`);
  },
};
