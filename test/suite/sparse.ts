/** Files with holes. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { constants } from "node:fs";
import { pattern, refuses } from "./expect.ts";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, SEEK_DATA, SEEK_HOLE } from "./linux.ts";
import type { Cases } from "./place.ts";

const { O_CREAT, O_RDWR } = constants;
const MiB = 1 << 20;

export const sparse: Cases = {
  "a hole reads as zeros": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    await program.pwrite(fd, "end", 3 * MiB + 1);
    equal((await program.fstat(fd)).size, 3 * MiB + 4);
    const all = await program.readFile(place.path("f"));
    equal(all.subarray(-3).toString(), "end");
    deepEqual(all.subarray(0, -3), Buffer.alloc(3 * MiB + 1));
    await program.pwrite(fd, "mid", MiB);
    deepEqual((await program.pread(fd, 9, MiB - 3)).toString("latin1"), "\0\0\0mid\0\0\0");
  },

  "a file of a tebibyte holds what was written at its end": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    const at = 2 ** 40;
    await program.pwrite(fd, "far", at);
    equal((await program.fstat(fd)).size, at + 3);
    equal((await program.pread(fd, 10, at - 1)).toString("latin1"), "\0far");
    deepEqual(await program.pread(fd, 4096, at / 2), Buffer.alloc(4096));
    await program.call("os.ftruncate", fd, 0);
    equal((await program.fstat(fd)).size, 0);
  },

  "SEEK_DATA and SEEK_HOLE find data and holes": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    await program.pwrite(fd, pattern(MiB), MiB);
    await program.call("os.ftruncate", fd, 3 * MiB);
    await program.call("os.fsync", fd);
    const seek = (offset: number, whence: number) => program.call("os.lseek", fd, offset, whence);
    deepEqual(
      [
        await seek(0, SEEK_HOLE),
        await seek(0, SEEK_DATA),
        await seek(MiB + 5, SEEK_DATA),
        await seek(MiB + 5, SEEK_HOLE),
        await seek(2 * MiB + 5, SEEK_HOLE),
      ],
      [0, MiB, MiB + 5, 2 * MiB, 2 * MiB + 5],
    );
    await refuses(seek(2 * MiB, SEEK_DATA), "ENXIO");
    await refuses(seek(3 * MiB, SEEK_HOLE), "ENXIO");
  },

  "the end of a file without holes counts as one": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    await program.write(fd, pattern(10_000));
    equal(await program.call("os.lseek", fd, 17, SEEK_HOLE), 10_000);
    equal(await program.call("os.lseek", fd, 17, SEEK_DATA), 17);
    await refuses(program.call("os.lseek", fd, 10_000, SEEK_DATA), "ENXIO");
  },

  "fallocate grows a file with zeros unless it shall keep its size": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    await program.write(fd, "12345");
    await program.call("fallocate", fd, FALLOC_FL_KEEP_SIZE, 0, 100_000);
    equal((await program.fstat(fd)).size, 5);
    await program.call("fallocate", fd, 0, 3, 10_000);
    equal((await program.fstat(fd)).size, 10_003);
    const all = await program.readFile(place.path("f"));
    equal(all.subarray(0, 5).toString(), "12345");
    deepEqual(all.subarray(5), Buffer.alloc(9998));
  },

  "FALLOC_FL_PUNCH_HOLE makes zeros and keeps the size": async (place) => {
    const [program, other] = [place.program(), place.program()];
    const data = pattern(100_000);
    await program.writeFile(place.path("f"), data);
    const fd = await program.open(place.path("f"), O_RDWR);
    const reading = await other.open(place.path("f"));
    equal((await other.pread(reading, 100_000, 0)).length, 100_000);
    const punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    await program.call("fallocate", fd, punch, 10_001, 50_000);
    data.fill(0, 10_001, 60_001);
    deepEqual(await program.pread(fd, 200_000, 0), data);
    deepEqual(await other.pread(reading, 200_000, 0), data);
    await refuses(program.call("fallocate", fd, FALLOC_FL_PUNCH_HOLE, 0, 10), "ENOTSUP");
    await refuses(program.call("fallocate", fd, 0, 0, 0), "EINVAL");
  },

  "writing into a hole fills it and nothing else": async (place) => {
    const program = place.program();
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    const model = Buffer.alloc(200_000);
    await program.call("os.ftruncate", fd, model.length);
    for (const [i, offset] of [5, 4096, 65_535, 199_990, 100_001, 4090].entries()) {
      const data = pattern(10, i);
      data.copy(model, offset);
      await program.pwrite(fd, data, offset);
      deepEqual(await program.pread(fd, 300_000, 0), model);
    }
    ok((await program.fstat(fd)).size === model.length);
  },
};
