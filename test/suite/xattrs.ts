/** Extended attributes. */
import { deepEqual, equal } from "node:assert/strict";
import { pattern, refuses } from "./expect.ts";
import { XATTR_CREATE, XATTR_REPLACE } from "./linux.ts";
import type { Cases } from "./place.ts";
import type { Program } from "./program.ts";

export const xattrs: Cases = {
  "an attribute is set, read, listed, replaced and removed": async (place) => {
    const [program, other] = [place.program(), place.program()];
    for (const name of ["f", "d"]) {
      const path = place.path(name);
      if (name === "f") await program.writeFile(path, "");
      else await program.mkdir(path);
      await refuses(program.call("os.getxattr", path, "user.one"), "ENODATA");
      await program.call("os.setxattr", path, "user.one", "first");
      await program.call("os.setxattr", path, "user.two", pattern(1000));
      await program.call("os.setxattr", path, "user.empty", "");
      equal(String(await other.call("os.getxattr", path, "user.one")), "first");
      deepEqual(await other.call("os.getxattr", path, "user.two"), pattern(1000));
      equal(((await other.call("os.getxattr", path, "user.empty")) as Buffer).length, 0);
      deepEqual(await userNames(other, path), ["user.empty", "user.one", "user.two"]);
      await program.call("os.setxattr", path, "user.one", "second, longer");
      equal(String(await other.call("os.getxattr", path, "user.one")), "second, longer");
      await program.call("os.removexattr", path, "user.one");
      await refuses(program.call("os.removexattr", path, "user.one"), "ENODATA");
      deepEqual(await userNames(other, path), ["user.empty", "user.two"]);
    }
  },

  "XATTR_CREATE and XATTR_REPLACE are honoured": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "");
    const set = (value: string, flags: number) =>
      program.call("os.setxattr", place.path("f"), "user.a", value, flags);
    await refuses(set("1", XATTR_REPLACE), "ENODATA");
    await set("2", XATTR_CREATE);
    await refuses(set("3", XATTR_CREATE), "EEXIST");
    await set("4", XATTR_REPLACE);
    equal(String(await program.call("os.getxattr", place.path("f"), "user.a")), "4");
  },

  "a buffer that is too small is ERANGE, one of nothing asks for the length": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "");
    await program.call("os.setxattr", place.path("f"), "user.a", "12345");
    const get = (size: number) => program.call("getxattr_sized", place.path("f"), "user.a", size);
    equal(await get(0), 5);
    equal(await get(5), 5);
    await refuses(get(4), "ERANGE");
  },

  "attributes stay with the file over rename and link": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("a"), "");
    await program.call("os.setxattr", place.path("a"), "user.a", "mine");
    await program.rename(place.path("a"), place.path("b"));
    await program.call("os.link", place.path("b"), place.path("c"));
    equal(String(await program.call("os.getxattr", place.path("c"), "user.a")), "mine");
    await program.writeFile(place.path("a"), "");
    deepEqual(await userNames(program, place.path("a")), []);
  },

  "attributes are read and set through a descriptor": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("a"), "");
    const fd = await program.open(place.path("a"));
    await program.unlink(place.path("a"));
    await program.call("os.setxattr", fd, "user.a", "open");
    equal(String(await program.call("os.getxattr", fd, "user.a")), "open");
  },

  "names and values have the limits of Linux": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "");
    const name = `user.${"n".repeat(250)}`;
    await program.call("os.setxattr", place.path("f"), name, "x");
    equal(String(await program.call("os.getxattr", place.path("f"), name)), "x");
    await refuses(program.call("os.setxattr", place.path("f"), `${name}n`, "x"), "ERANGE");
    await refuses(
      program.call("os.setxattr", place.path("f"), "user.big", Buffer.alloc(65_537)),
      "E2BIG",
    );
  },

  "a file holds fifty attributes": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "");
    const made = Array.from({ length: 50 }, (_, i) => `user.${i}`);
    for (const name of made) await program.call("os.setxattr", place.path("f"), name, `v ${name}`);
    deepEqual(await userNames(program, place.path("f")), made.sort());
    for (const name of made) {
      equal(String(await program.call("os.getxattr", place.path("f"), name)), `v ${name}`);
    }
  },
};

/** The names under "user.": a security module may add its own. */
async function userNames(program: Program, path: string): Promise<string[]> {
  const listed = (await program.call("os.listxattr", path)) as (Buffer | string)[];
  return listed
    .map(String)
    .filter((name) => name.startsWith("user."))
    .sort();
}
