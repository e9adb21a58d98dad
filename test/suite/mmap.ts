/** Mappings: reading, and what other programs do to the file meanwhile. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { constants } from "node:fs";
import { pattern } from "./expect.ts";
import { MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "./linux.ts";
import type { Cases } from "./place.ts";

const { O_CREAT, O_RDWR } = constants;

export const mappings: Cases = {
  "a mapping shows the file's bytes": async (place) => {
    const program = place.program();
    const data = pattern(300_001);
    await program.writeFile(place.path("f"), data);
    const reader = place.program();
    const fd = await reader.open(place.path("f"));
    for (const flags of [MAP_SHARED, MAP_PRIVATE]) {
      const map = (await reader.call("mmap", fd, data.length, PROT_READ, flags)) as number;
      deepEqual(await reader.call("map_read", map, 0, data.length), data);
      await reader.call("munmap", map);
    }
  },

  "a mapping shows what another program writes": async (place) => {
    const [writer, reader] = [place.program(), place.program()];
    const model = pattern(50_000);
    await writer.writeFile(place.path("f"), model);
    const fd = await reader.open(place.path("f"));
    const map = (await reader.call("mmap", fd, 50_000, PROT_READ, MAP_SHARED)) as number;
    const writing = await writer.open(place.path("f"), O_RDWR);
    for (let i = 0; i < 50; i++) {
      const data = pattern(100 + i, i);
      const offset = (i * 7919) % 49_000;
      data.copy(model, offset);
      await writer.pwrite(writing, data, offset);
      deepEqual(await reader.call("map_read", map, 0, 50_000), model);
    }
  },

  "a mapping shows what is appended behind the old end": async (place) => {
    const [writer, reader] = [place.program(), place.program()];
    let model = pattern(1000);
    await writer.writeFile(place.path("f"), model);
    const fd = await reader.open(place.path("f"));
    const map = (await reader.call("mmap", fd, 1 << 20, PROT_READ, MAP_SHARED)) as number;
    deepEqual(await reader.call("map_read", map, 0, 1000), model);
    const appending = await writer.open(place.path("f"), O_RDWR | constants.O_APPEND);
    for (let i = 0; i < 100; i++) {
      const data = pattern(1 + ((i * 997) % 5000), i);
      await writer.write(appending, data);
      model = Buffer.concat([model, data]);
      equal((await reader.fstat(fd)).size, model.length);
      deepEqual(await reader.call("map_read", map, 0, model.length), model);
    }
  },

  "a mapping behind the end of the file is SIGBUS": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "x");
    const fd = await program.open(place.path("f"));
    const map = (await program.call("mmap", fd, 8192, PROT_READ, MAP_SHARED)) as number;
    equal(String(await program.call("map_read", map, 0, 2)), "x\0");
    await rejects(program.call("map_read", map, 4096, 1), /SIGBUS/);
  },

  "a private mapping keeps its changes to itself": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), pattern(5000));
    const fd = await program.open(place.path("f"));
    const map = (await program.call(
      "mmap",
      fd,
      5000,
      PROT_READ | PROT_WRITE,
      MAP_PRIVATE,
    )) as number;
    await program.call("map_write", map, 100, "mine");
    equal(String(await program.call("map_read", map, 100, 4)), "mine");
    deepEqual(await program.readFile(place.path("f")), pattern(5000));
  },

  "what is written to a shared mapping is in the file": async (place) => {
    const [program, other] = [place.program(), place.program()];
    const model = pattern(20_000);
    await program.writeFile(place.path("f"), model);
    const fd = await program.open(place.path("f"), O_RDWR | O_CREAT);
    const map = (await program.call(
      "mmap",
      fd,
      20_000,
      PROT_READ | PROT_WRITE,
      MAP_SHARED,
    )) as number;
    await program.call("map_write", map, 9000, "through the mapping");
    model.write("through the mapping", 9000);
    deepEqual(await other.readFile(place.path("f")), model);
    await program.call("msync", map);
    await program.call("munmap", map);
    await program.close(fd);
    deepEqual(await other.readFile(place.path("f")), model);
    equal((await other.stat(place.path("f"))).size, 20_000);
  },
};
