/** Directories and reading them. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { constants } from "node:fs";
import { refuses } from "./expect.ts";
import { DT_DIR, DT_FIFO, DT_LNK, DT_REG } from "./linux.ts";
import type { Cases, Place } from "./place.ts";
import type { Program } from "./program.ts";

/** [name, inode number, d_type, telldir behind it] */
type Entry = [Buffer, number, number, number | bigint];

export const directories: Cases = {
  "a directory is made, listed and removed": async (place) => {
    const program = place.program();
    await program.mkdir(place.path("d"));
    ok(((await program.stat(place.path("d"))).mode & constants.S_IFMT) === constants.S_IFDIR);
    deepEqual(await program.list(place.directory), ["d"]);
    await refuses(program.mkdir(place.path("d")), "EEXIST");
    await program.call("os.rmdir", place.path("d"));
    deepEqual(await program.list(place.directory), []);
    await refuses(program.stat(place.path("d")), "ENOENT");
  },

  "a directory that is not empty stays": async (place) => {
    const program = place.program();
    await program.mkdir(place.path("d"));
    await program.writeFile(place.path("d/f"), "x");
    await refuses(program.call("os.rmdir", place.path("d")), "ENOTEMPTY");
    equal(await program.text(place.path("d/f")), "x");
    await refuses(program.unlink(place.path("d")), "EISDIR");
    await refuses(program.call("os.rmdir", place.path("d/.")), "EINVAL");
    await program.unlink(place.path("d/f"));
    await program.call("os.rmdir", place.path("d"));
  },

  "the link count of a directory counts its directories": async (place) => {
    const program = place.program();
    equal((await program.stat(place.directory)).nlink, 2);
    await program.mkdir(place.path("a"));
    await program.mkdir(place.path("b"));
    await program.writeFile(place.path("f"), "");
    equal((await program.stat(place.directory)).nlink, 4);
    await program.rename(place.path("b"), place.path("a/b"));
    equal((await program.stat(place.directory)).nlink, 3);
    equal((await program.stat(place.path("a"))).nlink, 3);
    await program.call("os.rmdir", place.path("a/b"));
    equal((await program.stat(place.path("a"))).nlink, 2);
  },

  "entries tell the type and the inode number": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("file"), "");
    await program.mkdir(place.path("directory"));
    await program.call("os.symlink", "x", place.path("link"));
    await program.call("os.mkfifo", place.path("fifo"));
    const entries = await readAll(program, place.directory);
    const types: Record<string, number> = {
      directory: DT_DIR,
      fifo: DT_FIFO,
      file: DT_REG,
      link: DT_LNK,
    };
    for (const [name, type] of Object.entries(types)) {
      const [, ino, kind] = entries.find(([other]) => other.toString() === name)!;
      equal(kind, type, name);
      equal(ino, (await program.lstat(place.path(name))).ino, name);
    }
  },

  "dot and dot-dot are listed and lead to the directory and its parent": async (place) => {
    const program = place.program();
    await program.mkdir(place.path("d"));
    const entries = await readAll(program, place.path("d"));
    deepEqual(entries.map(([name]) => name.toString()).sort(), [".", ".."]);
    equal((await program.stat(place.path("d/."))).ino, (await program.stat(place.path("d"))).ino);
    equal((await program.stat(place.path("d/.."))).ino, (await program.stat(place.directory)).ino);
  },

  "10,000 entries are each listed once": async (place) => {
    const program = place.program();
    const made = await makeMany(place, program, 10_000);
    deepEqual(await program.list(place.directory), made);
  },

  "seekdir continues where telldir was taken": async (place) => {
    const program = place.program();
    await makeMany(place, program, 1000);
    const directory = (await program.call("opendir", place.directory)) as number;
    const all = (await program.call("readdir", directory, 2000)) as Entry[];
    equal(all.length, 1002);
    for (const at of [700, 3, 999, 0, 500, 1001]) {
      await program.call("seekdir", directory, all[at]![3]);
      const rest = (await program.call("readdir", directory, 2000)) as Entry[];
      deepEqual(namesOf(rest), namesOf(all.slice(at + 1)), `behind entry ${at}`);
    }
    await program.call("closedir", directory);
  },

  "what stays is listed once while other names come and go": async (place) => {
    const [reader, writer] = [place.program(), place.program()];
    await makeMany(place, writer, 3000);
    const directory = (await reader.call("opendir", place.directory)) as number;
    const seen: string[] = [];
    for (let round = 0; ; round++) {
      const entries = (await reader.call("readdir", directory, 100)) as Entry[];
      if (entries.length === 0) break;
      seen.push(...namesOf(entries));
      // Every third name goes, and as many new ones come.
      await Promise.all(
        Array.from({ length: 30 }, async (_, i) => {
          const number = (round * 30 + i) * 3;
          if (number < 3000) await writer.unlink(place.path(fileName(number)));
          await writer.writeFile(place.path(`new-${round}-${i}`), "");
        }),
      );
      if (round > 2000) throw new Error("the listing does not end");
    }
    const stayed = Array.from({ length: 3000 }, (_, i) => i).filter((i) => i % 3 !== 0);
    deepEqual(seen.filter((name) => stayed.includes(numberOf(name))).sort(), stayed.map(fileName));
    await reader.call("rewinddir", directory);
    const now: string[] = [];
    for (;;) {
      const entries = (await reader.call("readdir", directory, 1000)) as Entry[];
      if (entries.length === 0) break;
      now.push(...namesOf(entries));
    }
    deepEqual(
      now.filter((name) => name !== "." && name !== "..").sort(),
      await writer.list(place.directory),
    );
    await reader.call("closedir", directory);
  },

  "rewinddir shows names that were made after opendir": async (place) => {
    const [reader, writer] = [place.program(), place.program()];
    await writer.writeFile(place.path("before"), "");
    const directory = (await reader.call("opendir", place.directory)) as number;
    equal(((await reader.call("readdir", directory, 100)) as Entry[]).length, 3);
    await writer.writeFile(place.path("later"), "");
    await writer.unlink(place.path("before"));
    await reader.call("rewinddir", directory);
    const entries = (await reader.call("readdir", directory, 100)) as Entry[];
    deepEqual(namesOf(entries).sort(), [".", "..", "later"]);
    await reader.call("closedir", directory);
  },

  "a listing while everything is removed removes everything": async (place) => {
    const program = place.program();
    await makeMany(place, program, 2500);
    const directory = (await program.call("opendir", place.directory)) as number;
    for (;;) {
      const entries = (await program.call("readdir", directory, 64)) as Entry[];
      if (entries.length === 0) break;
      for (const name of namesOf(entries)) {
        if (name !== "." && name !== "..") await program.unlink(place.path(name));
      }
    }
    await program.call("closedir", directory);
    deepEqual(await program.list(place.directory), []);
  },

  "200 directories inside each other": async (place) => {
    const program = place.program();
    const deep = "d/".repeat(200);
    await program.call("os.makedirs", place.path(deep));
    await program.writeFile(place.path(`${deep}f`), "deep");
    equal(await program.text(place.path(`${deep}f`)), "deep");
  },

  "calls relative to a directory descriptor follow a rename": async (place) => {
    const program = place.program();
    await program.mkdir(place.path("a"));
    const fd = await program.open(place.path("a"), constants.O_DIRECTORY);
    await program.rename(place.path("a"), place.path("b"));
    await program.callWith({ dir_fd: fd }, "os.mkdir", "inside");
    deepEqual(await program.list(place.path("b")), ["inside"]);
  },

  "the working directory of a program can be renamed and removed": async (place) => {
    const [program, other] = [place.program(), place.program()];
    await program.mkdir(place.path("a"));
    await program.call("os.chdir", place.path("a"));
    await other.rename(place.path("a"), place.path("b"));
    await program.writeFile("f", "x");
    deepEqual(await other.list(place.path("b")), ["f"]);
    await program.unlink("f");
    await other.call("os.rmdir", place.path("b"));
    await refuses(program.writeFile("f", "x"), "ENOENT");
    await refuses(program.call("os.getcwdb"), "ENOENT");
  },
};

async function readAll(program: Program, path: string): Promise<Entry[]> {
  const directory = (await program.call("opendir", path)) as number;
  const entries = (await program.call("readdir", directory, 100_000)) as Entry[];
  await program.call("closedir", directory);
  return entries;
}

async function makeMany(place: Place, program: Program, count: number): Promise<string[]> {
  await program.call("make_files", place.directory, "name-", count);
  return Array.from({ length: count }, (_, i) => fileName(i));
}

function fileName(number: number): string {
  return `name-${String(number).padStart(5, "0")}`;
}

function numberOf(name: string): number {
  return name.startsWith("name-") ? Number(name.slice(5)) : -1;
}

function namesOf(entries: readonly Entry[]): string[] {
  return entries.map(([name]) => name.toString("latin1"));
}
