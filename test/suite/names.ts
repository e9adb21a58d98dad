/** What may stand in a name, and what the kernel and the file system refuse. */
import { deepEqual, equal } from "node:assert/strict";
import { constants } from "node:fs";
import { refuses } from "./expect.ts";
import type { Cases } from "./place.ts";

export const names: Cases = {
  "names hold every byte but slash and NUL": async (place) => {
    const program = place.program();
    const made: string[] = [];
    for (let byte = 1; byte < 256; byte++) {
      if (byte === 0x2f) continue;
      const name = `n${String.fromCharCode(byte)}`;
      made.push(name);
      await program.writeFile(place.path(name), name);
    }
    deepEqual(await program.list(place.directory), made.sort());
    for (const name of made) equal(await program.text(place.path(name)), name);
    for (const name of made) await program.unlink(place.path(name));
    deepEqual(await program.list(place.directory), []);
  },

  "names that are not UTF-8 and names that look alike stay apart": async (place) => {
    const program = place.program();
    // Latin-1 e-acute, UTF-8 e-acute, e with a combining accent, half of a character, and case.
    const made = ["\xe9", "\xc3\xa9", "e\xcc\x81", "\xc3", "e", "E", " ", "...", "a\n"];
    for (const name of made) await program.writeFile(place.path(name), name);
    deepEqual(await program.list(place.directory), [...made].sort());
    for (const name of made) equal(await program.text(place.path(name)), name);
  },

  "a name has at most 255 bytes": async (place) => {
    const program = place.program();
    const longest = "\xff".repeat(255);
    await program.mkdir(place.path(longest));
    await program.writeFile(place.path(`${longest}/${longest}`), "x");
    deepEqual(await program.list(place.path(longest)), [longest]);
    const longer = place.path(`${longest}n`);
    await refuses(program.mkdir(longer), "ENAMETOOLONG");
    await refuses(program.stat(longer), "ENAMETOOLONG");
    await refuses(program.writeFile(longer, ""), "ENAMETOOLONG");
    await refuses(program.call("os.symlink", "t", longer), "ENAMETOOLONG");
    await refuses(program.rename(place.path(longest), longer), "ENAMETOOLONG");
    await refuses(
      program.call("os.link", place.path(`${longest}/${longest}`), longer),
      "ENAMETOOLONG",
    );
  },

  "a name that is not there is ENOENT": async (place) => {
    const program = place.program();
    const path = place.path("nothing");
    await refuses(program.stat(path), "ENOENT");
    await refuses(program.open(path), "ENOENT");
    await refuses(program.unlink(path), "ENOENT");
    await refuses(program.call("os.rmdir", path), "ENOENT");
    await refuses(program.rename(path, place.path("other")), "ENOENT");
    await refuses(program.call("os.truncate", path, 0), "ENOENT");
    await refuses(program.writeFile(`${path}/file`, ""), "ENOENT");
    await refuses(program.open(""), "ENOENT");
  },

  "a file in the middle of a path is ENOTDIR": async (place) => {
    const program = place.program();
    const path = place.path("file");
    await program.writeFile(path, "x");
    await refuses(program.stat(`${path}/x`), "ENOTDIR");
    await refuses(program.stat(`${path}/`), "ENOTDIR");
    await refuses(program.mkdir(`${path}/x`), "ENOTDIR");
    await refuses(program.call("os.rmdir", path), "ENOTDIR");
    await refuses(program.call("os.listdir", path), "ENOTDIR");
    await refuses(program.open(path, constants.O_DIRECTORY), "ENOTDIR");
  },

  "symlinks in a circle are ELOOP": async (place) => {
    const program = place.program();
    await program.call("os.symlink", "b", place.path("a"));
    await program.call("os.symlink", "a", place.path("b"));
    await refuses(program.stat(place.path("a")), "ELOOP");
    await refuses(program.open(place.path("a"), constants.O_CREAT | constants.O_WRONLY), "ELOOP");
    equal((await program.lstat(place.path("a"))).size, 1);
  },

  "a name that was looked up in vain can be made": async (place) => {
    const [one, two] = [place.program(), place.program()];
    for (let i = 0; i < 50; i++) {
      const path = place.path(`name-${i}`);
      await refuses(one.stat(path), "ENOENT");
      await two.writeFile(path, "now");
      equal(await one.text(path), "now");
      await two.unlink(path);
      await refuses(one.stat(path), "ENOENT");
    }
  },
};
