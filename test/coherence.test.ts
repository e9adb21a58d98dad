/**
 * Hints change a mailbox behind the kernel's back. Programs that have it open, by a descriptor, for appending
 * or mapped, see its new size and the right bytes at once: no stale size, no zeros in the old last page.
 */
import { constants } from "node:fs";
import { equal } from "node:assert/strict";
import t from "tap";
import { pattern } from "./suite/expect.ts";
import { MAP_SHARED, PROT_READ } from "./suite/linux.ts";
import { Program } from "./suite/program.ts";
import type { TestContext } from "./suite/run.ts";
import { HintClient } from "./system/hints.ts";
import { bindings, missing, ServedMount } from "./system/mount.ts";

const timeout = 240_000;
t.setTimeout(2 * timeout);

const mapped = 4 << 20;

interface Setting {
  readonly mount: ServedMount;
  program(): Program;
  /** An open mapping of the whole file as it may become, or 0 where the mount cannot be mapped. */
  map(program: Program, fd: number): Promise<number>;
}

for (const binding of bindings) {
  const reason = missing(binding);
  const options = { timeout, ...(reason === undefined ? {} : { skip: reason }) };
  await t.test(binding, options, async (t) => {
    const mount = await ServedMount.start({ binding });
    t.teardown(() => mount.end());
    const programs: Program[] = [];
    t.teardown(() => Promise.all(programs.map((program) => program.end())));
    const setting: Setting = {
      mount,
      program: () => {
        const program = new Program();
        programs.push(program);
        return program;
      },
      map: async (program, fd) =>
        binding === "kernel"
          ? ((await program.call("mmap", fd, mapped, PROT_READ, MAP_SHARED)) as number)
          : 0,
    };
    await everyByte(t, setting);
    await followers(t, setting);
    await shrinking(t, setting);
    t.ok(mount.running, "the server lives");
  });
}

async function everyByte(t: TestContext, { mount, program, map }: Setting): Promise<void> {
  await t.test("every byte is right after each of 400 appends", { timeout }, async (t) => {
    const path = `${mount.mountpoint}/box`;
    const [reader, appender, writer] = [program(), program(), program()];
    await writer.writeFile(path, "");
    const reading = await reader.open(path);
    const mapping = await map(reader, reading);
    const appending = await appender.open(path, constants.O_RDWR | constants.O_APPEND);
    const updating = await writer.open(path, constants.O_RDWR);
    const hints = await HintClient.open(program(), mount.mountpoint);
    let size = 0;
    const expect = async (offset: number, data: Buffer) => {
      await Promise.all([reader, appender, writer].map((one) => one.call("expect", offset, data)));
      size = Math.max(size, offset + data.length);
    };
    for (let round = 0; round < 400; round++) {
      const own = pattern((round * 37) % 301, round);
      const shared = pattern(1 + ((round * 1237) % 4999), round + 1000);
      const reply = await hints.deliver(shared, [{ path: "box", private: own }]);
      equal(reply.ok, true, JSON.stringify(reply));
      await expect(size, Buffer.concat([own, shared]));
      if (round % 5 === 1) {
        const data = pattern(1 + ((round * 71) % 777), round + 2000);
        await appender.write(appending, data);
        await expect(size, data);
      }
      if (round % 7 === 2) {
        const data = pattern(1 + ((round * 13) % 99), round + 3000);
        const offset = (round * 104_729) % (size - data.length);
        await writer.pwrite(updating, data, offset);
        await expect(offset, data);
      }
      // One after the other: Linux clears an inode's "attributes invalid" a moment before it sets the new size
      // (fuse_change_attributes), and a second fstat in that moment tells the old one.
      const found = [await reader.call("differs", reading)];
      if (mapping !== 0) found.push(await reader.call("differs_mapped", mapping));
      found.push(await appender.call("differs", appending));
      found.push(await writer.call("differs", updating));
      equal(found.join(""), "", `round ${round}`);
    }
    t.pass();
  });
}

async function followers(t: TestContext, { mount, program, map }: Setting): Promise<void> {
  await t.test(
    "programs that read while hints append see no wrong byte",
    { timeout },
    async (t) => {
      const path = `${mount.mountpoint}/followed`;
      const first = program();
      await first.writeFile(path, "");
      const lengths = Array.from({ length: 300 }, (_, i) => 1 + ((i * 941) % 3001));
      const total = lengths.reduce((sum, length) => sum + length, 0);
      const following = [program(), program()].map(async (follower) => {
        const fd = await follower.open(path);
        return follower.call("follow", fd, await map(follower, fd), total);
      });
      const hints = await HintClient.open(first, mount.mountpoint);
      let size = 0;
      for (const length of lengths) {
        const data = numbered(size, length);
        const cut = Math.min(length - 1, 100);
        const target = { path: "followed", private: data.subarray(0, cut) };
        const reply = await hints.deliver(data.subarray(cut), [target]);
        equal(reply.ok, true, JSON.stringify(reply));
        size += length;
      }
      t.same(await Promise.all(following), ["", ""]);
    },
  );
}

async function shrinking(t: TestContext, { mount, program, map }: Setting): Promise<void> {
  await t.test("ranges removed and shared by hints are seen at once", { timeout }, async (t) => {
    const path = `${mount.mountpoint}/shrinking`;
    const [reader, writer] = [program(), program()];
    let model = pattern(200_000);
    await writer.writeFile(path, model);
    const reading = await reader.open(path);
    const mapping = await map(reader, reading);
    const hints = await HintClient.open(writer, mount.mountpoint);
    for (let round = 0; round < 60; round++) {
      const length = 1 + ((round * 977) % 2999);
      const offset = (round * 7919) % (model.length - length);
      if (round % 3 === 0) {
        const from = { path: "shrinking", offset, length };
        const reply = await hints.request({ op: "share", from, to: { path: "shrinking" } });
        equal(reply.ok, true, JSON.stringify(reply));
        model = Buffer.concat([model, model.subarray(offset, offset + length)]);
      } else {
        const reply = await hints.request({ op: "remove", path: "shrinking", offset, length });
        equal(reply.ok, true, JSON.stringify(reply));
        model = Buffer.concat([model.subarray(0, offset), model.subarray(offset + length)]);
      }
      await reader.call("expect_size", 0);
      await reader.call("expect", 0, model);
      equal(await reader.call("differs", reading), "", `round ${round}`);
      if (mapping !== 0) equal(await reader.call("differs_mapped", mapping), "", `round ${round}`);
    }
    t.pass();
  });
}

/** As numbered() in process.py: bytes that tell their own place. */
function numbered(offset: number, length: number): Buffer {
  return Buffer.from(
    Array.from({ length }, (_, i) => ((((offset + i) >> 8) * 37 + offset + i) % 251) + 1),
  );
}
