/** Bytes in and out of regular files. */
import { deepEqual, equal } from "node:assert/strict";
import { constants } from "node:fs";
import { pattern, refuses } from "./expect.ts";
import { SEEK_SET } from "./linux.ts";
import type { Cases } from "./place.ts";

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants;

export const content: Cases = {
  "written bytes are read back by another program": async (place) => {
    const [writer, reader] = [place.program(), place.program()];
    const data = pattern(300_001);
    await writer.writeFile(place.path("f"), data);
    deepEqual(await reader.readFile(place.path("f")), data);
    equal((await reader.stat(place.path("f"))).size, data.length);
  },

  "writes of odd lengths at odd places land where they were sent": async (place) => {
    const program = place.program();
    const length = 1_500_000;
    const model = Buffer.alloc(length);
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    await program.call("os.ftruncate", fd, length);
    for (let i = 0; i < 120; i++) {
      const data = pattern(1 + ((i * 7919) % 40_001), i);
      const offset = (i * 1_299_709) % (length - data.length);
      data.copy(model, offset);
      equal(await program.pwrite(fd, data, offset), data.length);
    }
    deepEqual(await program.readFile(place.path("f")), model);
    const reader = place.program();
    deepEqual(await reader.readFile(place.path("f")), model);
  },

  "a write of several megabytes is whole": async (place) => {
    const program = place.program();
    const data = pattern(6 * 1024 * 1024 + 13);
    await program.writeFile(place.path("f"), data);
    const reader = place.program();
    const fd = await reader.open(place.path("f"));
    equal(Buffer.compare(await reader.pread(fd, data.length, 0), data), 0);
    equal(
      Buffer.compare(
        await reader.pread(fd, 70_001, 4_000_003),
        data.subarray(4_000_003, 4_070_004),
      ),
      0,
    );
  },

  "vectored reads and writes keep their order": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    equal(await program.call("os.writev", fd, ["one", "", "two", pattern(5000)]), 5006);
    equal((await program.pread(fd, 6, 0)).toString(), "onetwo");
    deepEqual(await program.pread(fd, 9000, 6), pattern(5000));
  },

  "a read at or behind the end gives nothing": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "12345");
    const fd = await program.open(place.path("f"));
    equal((await program.pread(fd, 100, 3)).toString(), "45");
    equal((await program.pread(fd, 100, 5)).length, 0);
    equal((await program.pread(fd, 100, 1_000_000)).length, 0);
    equal((await program.pread(fd, 0, 0)).length, 0);
  },

  "a write of nothing changes nothing": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    equal(await program.pwrite(fd, "", 10), 0);
    equal((await program.fstat(fd)).size, 0);
  },

  "a descriptor does only what it was opened for": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "12345");
    const reading = await program.open(place.path("f"), O_RDONLY);
    const writing = await program.open(place.path("f"), O_WRONLY);
    await refuses(program.write(reading, "x"), "EBADF");
    await refuses(program.pread(writing, 1, 0), "EBADF");
    await refuses(program.call("os.ftruncate", reading, 0), "EINVAL");
    await refuses(program.open(place.directory, O_WRONLY), "EISDIR");
    await refuses(program.call("os.truncate", place.directory, 0), "EISDIR");
    await refuses(program.call("os.lseek", reading, -1, SEEK_SET), "EINVAL");
  },

  "two descriptors see each other's writes at once": async (place) => {
    const [one, two] = [place.program(), place.program()];
    const first = await one.open(place.path("f"), O_RDWR | O_CREAT);
    const second = await two.open(place.path("f"), O_RDWR);
    for (let i = 0; i < 200; i++) {
      const [writer, fd, reader, other] =
        i % 2 === 0 ? [one, first, two, second] : [two, second, one, first];
      const data = `line ${i}\n`;
      const { size } = await reader.fstat(other);
      await writer.pwrite(fd, data, size);
      equal((await reader.fstat(other)).size, size + data.length);
      equal((await reader.pread(other, 100, size)).toString(), data);
    }
  },

  "O_TRUNC empties a file and O_CREAT without O_EXCL keeps it": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "12345");
    const { ino } = await program.stat(place.path("f"));
    await program.close(await program.open(place.path("f"), O_WRONLY | O_CREAT));
    equal(await program.text(place.path("f")), "12345");
    await program.close(await program.open(place.path("f"), O_WRONLY | O_TRUNC));
    const { ino: after, size } = await program.stat(place.path("f"));
    deepEqual([after, size], [ino, 0]);
  },

  "O_TRUNC is seen by a program that has the file open": async (place) => {
    const [one, two] = [place.program(), place.program()];
    await one.writeFile(place.path("f"), pattern(10_000));
    const fd = await two.open(place.path("f"));
    equal((await two.pread(fd, 20_000, 0)).length, 10_000);
    await one.writeFile(place.path("f"), "new");
    equal((await two.fstat(fd)).size, 3);
    equal((await two.pread(fd, 20_000, 0)).toString(), "new");
  },

  "O_EXCL makes a file once however many programs try": async (place) => {
    const programs = Array.from({ length: 4 }, () => place.program());
    for (let i = 0; i < 25; i++) {
      const path = place.path(`lock-${i}`);
      const results = await Promise.allSettled(
        programs.map((program) => program.open(path, O_WRONLY | O_CREAT | O_EXCL)),
      );
      const codes = results.map((one) =>
        one.status === "fulfilled" ? "made" : (one.reason as { code: string }).code,
      );
      deepEqual(codes.sort(), ["EEXIST", "EEXIST", "EEXIST", "made"]);
    }
    await programs[0]!.call("os.symlink", "nowhere", place.path("link"));
    await refuses(programs[0]!.open(place.path("link"), O_WRONLY | O_CREAT | O_EXCL), "EEXIST");
  },

  "O_APPEND from several programs loses and mixes nothing": async (place) => {
    const count = 400;
    const programs = Array.from({ length: 4 }, () => place.program());
    await programs[0]!.writeFile(place.path("f"), "");
    await Promise.all(
      programs.map((program, index) =>
        program.call("append_lines", place.path("f"), `${index}:`, count, 37 + index * 101),
      ),
    );
    const lines = (await programs[0]!.text(place.path("f"))).split("\n");
    equal(lines.pop(), "");
    equal(lines.length, programs.length * count);
    for (const index of programs.keys()) {
      const own = lines.filter((line) => line.startsWith(`${index}:`));
      deepEqual(
        own.map((line) => [Number(line.slice(2, 8)), line.length]),
        Array.from({ length: count }, (_, number) => [number, 36 + index * 101]),
      );
    }
  },

  "O_APPEND writes at the end whatever the offset": async (place) => {
    const [one, two] = [place.program(), place.program()];
    const fd = await one.open(place.path("f"), O_RDWR | O_CREAT | O_APPEND);
    const other = await two.open(place.path("f"), O_RDWR | O_APPEND);
    await one.write(fd, "one");
    await two.write(other, "two");
    await one.call("os.lseek", fd, 0, SEEK_SET);
    await one.write(fd, "three");
    equal(await one.call("os.lseek", fd, 0, 1), 11);
    equal(await two.text(place.path("f")), "onetwothree");
    await two.call("os.ftruncate", other, 4);
    await one.write(fd, "!");
    equal((await one.pread(fd, 20, 0)).toString(), "onet!");
    equal((await two.pread(other, 20, 0)).toString(), "onet!");
  },

  "O_APPEND can be set on an open file and taken away": async (place) => {
    const [one, two] = [place.program(), place.program()];
    const fd = await one.open(place.path("f"), O_RDWR | O_CREAT);
    await one.write(fd, "12345");
    await two.call("append_lines", place.path("f"), "", 1, 10);
    await one.call("setfl", fd, O_APPEND);
    await one.write(fd, "end");
    equal(await two.text(place.path("f")), "12345000000...\nend");
    await one.call("setfl", fd, 0);
    await one.pwrite(fd, "S", 0);
    equal(await two.text(place.path("f")), "S2345000000...\nend");
  },

  "truncate cuts, and what it adds is zero": async (place) => {
    const program = place.program();
    const data = pattern(10_000);
    await program.writeFile(place.path("f"), data);
    await program.call("os.truncate", place.path("f"), 5001);
    deepEqual(await program.readFile(place.path("f")), data.subarray(0, 5001));
    await program.call("os.truncate", place.path("f"), 20_000);
    const zeros = Buffer.alloc(14_999);
    deepEqual(
      await program.readFile(place.path("f")),
      Buffer.concat([data.subarray(0, 5001), zeros]),
    );
    await refuses(program.call("os.truncate", place.path("f"), -1), "EINVAL");
  },

  "ftruncate is seen through another descriptor": async (place) => {
    const [one, two] = [place.program(), place.program()];
    await one.writeFile(place.path("f"), pattern(9000));
    const fd = await one.open(place.path("f"), O_RDWR);
    const other = await two.open(place.path("f"));
    equal((await two.pread(other, 9000, 0)).length, 9000);
    await one.call("os.ftruncate", fd, 4097);
    equal((await two.fstat(other)).size, 4097);
    equal((await two.pread(other, 9000, 0)).length, 4097);
    await one.call("os.ftruncate", fd, 8000);
    deepEqual(await two.pread(other, 9000, 4097), Buffer.alloc(3903));
    await one.call("os.ftruncate", fd, 0);
    equal((await two.pread(other, 9000, 0)).length, 0);
  },

  "copy_file_range copies bytes within and between files": async (place) => {
    const program = place.program();
    const data = pattern(200_000);
    await program.writeFile(place.path("from"), data);
    const from = await program.open(place.path("from"));
    const to = await program.open(place.path("to"), O_RDWR | O_CREAT);
    let copied = 0;
    while (copied < 150_000) {
      copied += (await program.call(
        "os.copy_file_range",
        from,
        to,
        150_000 - copied,
        1001 + copied,
        7 + copied,
      )) as number;
    }
    deepEqual(
      await program.readFile(place.path("to")),
      Buffer.concat([Buffer.alloc(7), data.subarray(1001, 151_001)]),
    );
    deepEqual(await program.readFile(place.path("from")), data);
  },

  "fsync, fdatasync and fsync of a directory succeed": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    await program.write(fd, "12345");
    await program.call("os.fsync", fd);
    await program.call("os.fdatasync", fd);
    const directory = await program.open(place.directory, constants.O_DIRECTORY);
    await program.call("os.fsync", directory);
    equal(await program.text(place.path("f")), "12345");
  },

  "O_SYNC and O_DSYNC writes are written": async (place) => {
    const program = place.program();
    for (const [name, flag] of [
      ["s", constants.O_SYNC],
      ["d", constants.O_DSYNC],
    ] as const) {
      const fd = await program.open(place.path(name), O_WRONLY | O_CREAT | flag);
      for (let i = 0; i < 5; i++) await program.write(fd, `${i}`);
      equal(await program.text(place.path(name)), "01234");
    }
  },

  "a descriptor passed to another program works there": async (place) => {
    const [one, two] = [place.program(), place.program()];
    const socket = `\0onespool-test-${one.pid}`;
    await two.call("listen", socket);
    const fd = await one.open(place.path("f"), O_RDWR | O_CREAT);
    await one.write(fd, "12345");
    await one.call("send_fd", socket, fd);
    await one.end();
    const passed = (await two.call("receive_fd", socket)) as number;
    equal((await two.pread(passed, 10, 0)).toString(), "12345");
    await two.write(passed, "67");
    equal(await two.text(place.path("f")), "1234567");
  },

  "a program runs from the directory": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("script"), "#!/bin/sh\nexit 7\n");
    await program.call("os.chmod", place.path("script"), 0o755);
    equal(await program.call("os.spawnv", 0, place.path("script"), ["script"]), 7);
    await program.writeFile(place.path("true"), await program.readFile("/bin/true"));
    await program.call("os.chmod", place.path("true"), 0o755);
    equal(await program.call("os.spawnv", 0, place.path("true"), ["true"]), 0);
  },
};
