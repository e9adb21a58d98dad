/**
 * Random operations on a file of a mount and on a plain file, side by side: after each both hold the same
 * bytes. What hints do to the one is done to the other by writing.
 */
import { constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { equal } from "node:assert/strict";
import fc from "fast-check";
import t from "tap";
import { pattern } from "./suite/expect.ts";
import { MAP_SHARED, PROT_READ } from "./suite/linux.ts";
import type { Program } from "./suite/program.ts";
import { Harness, needs } from "./system/harness.ts";
import type { HintClient, Reply } from "./system/hints.ts";
import { bindings, type Binding } from "./system/mount.ts";

const timeout = 300_000;
t.setTimeout(2 * timeout);

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
t.comment(`seed ${seed}: SEED=${seed} node dist/test/random-files.test.js repeats this run`);

const { O_APPEND, O_CREAT, O_RDWR } = constants;
const sizeMax = 400_000;
const mapped = 1 << 20;

/** `at` and `to` are parts of the file's present size. */
type Operation =
  | { readonly do: "write" | "append"; readonly at: number; readonly length: number }
  | {
      readonly do: "rewrite" | "map" | "read" | "share" | "remove";
      readonly at: number;
      readonly length: number;
    }
  | { readonly do: "shift"; readonly at: number; readonly distance: number; readonly chunk: number }
  | { readonly do: "truncate"; readonly to: number }
  | { readonly do: "anew"; readonly at: number; readonly chunk: number }
  | { readonly do: "copy"; readonly at: number; readonly to: number; readonly length: number }
  | { readonly do: "hint"; readonly own: number; readonly shared: number }
  | { readonly do: "reopen" | "sync" | "remount" };

const part = fc.double({ min: 0, max: 1, noNaN: true });
const length = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: 9_000 }),
  fc.integer({ min: 1, max: 70_000 }),
);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom("write", "append"), at: part, length }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom("rewrite", "map", "read", "share", "remove"),
      at: part,
      length,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("shift"),
      at: part,
      distance: fc.integer({ min: -3_000, max: 3_000 }),
      chunk: fc.integer({ min: 500, max: 40_000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("truncate"),
      to: fc.double({ min: 0, max: 1.2, noNaN: true }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("anew"),
      at: fc.oneof(fc.constant(0), part),
      chunk: fc.integer({ min: 4_000, max: 70_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("copy"), at: part, to: part, length }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("hint"),
      own: fc.integer({ min: 0, max: 500 }),
      shared: fc.integer({ min: 1, max: 9_000 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("reopen", "sync") }) },
);

interface Descriptors {
  readonly file: number;
  readonly appending: number;
}

/** The pair of files, open for writing and for appending. */
class Pair {
  readonly harness: Harness;
  readonly name: string;
  readonly plainPath: string;
  readonly binding: Binding;
  #program!: Program;
  #hints!: HintClient;
  #mount!: Descriptors;
  #plain!: Descriptors;
  #number = 0;

  constructor(harness: Harness, binding: Binding, directory: string, name: string) {
    this.harness = harness;
    this.binding = binding;
    this.name = name;
    this.plainPath = join(directory, name);
  }

  async open(): Promise<void> {
    this.#program = this.harness.program();
    this.#hints = await this.harness.hints(this.#program);
    this.#mount = await this.#openOne(this.harness.path(this.name));
    this.#plain = await this.#openOne(this.plainPath);
  }

  async #openOne(path: string): Promise<Descriptors> {
    const file = await this.#program.open(path, O_RDWR | O_CREAT);
    return { file, appending: await this.#program.open(path, O_RDWR | O_APPEND) };
  }

  close(): Promise<void> {
    return this.#program.end();
  }

  async check(what: string): Promise<void> {
    const difference = await this.#program.call("same_files", this.#mount.file, this.#plain.file);
    equal(difference, "", what);
  }

  /** The same call on both. */
  async #both(call: (fds: Descriptors) => Promise<unknown>): Promise<void> {
    for (const fds of [this.#mount, this.#plain]) await call(fds);
  }

  async perform(operation: Operation): Promise<void> {
    const program = this.#program;
    const { size } = await program.fstat(this.#plain.file);
    const seed = this.#number++;
    switch (operation.do) {
      case "write":
        if (size > sizeMax) return;
        return this.#both(({ file }) =>
          program.pwrite(file, pattern(operation.length, seed), Math.floor(operation.at * size)),
        );
      case "append":
        if (size > sizeMax) return;
        return this.#both(({ appending }) =>
          program.write(appending, pattern(operation.length, seed)),
        );
      case "rewrite": {
        // The bytes that are there, as a program does that changes a flag and writes all of it.
        const offset = Math.floor(operation.at * size);
        const data = await program.pread(this.#plain.file, operation.length, offset);
        if (data.length > 20) data.fill(seed % 251, 10, 10 + (seed % 9));
        return this.#both(({ file }) => program.pwrite(file, data, offset));
      }
      case "shift": {
        const start = Math.floor(operation.at * size);
        const distance = Math.max(operation.distance, -start);
        if (distance === 0 || size + distance > sizeMax) return;
        return this.#both(({ file }) =>
          program.call("shift", file, start, distance, operation.chunk),
        );
      }
      case "truncate": {
        const to = Math.min(Math.floor(operation.to * size), sizeMax);
        return this.#both(({ file }) => program.call("os.ftruncate", file, to));
      }
      case "anew": {
        // Cut off, and written again with an edit, as a program does that has all of it in memory.
        const start = Math.floor(operation.at * size);
        const data = await program.pread(this.#plain.file, size - start, start);
        const middle = data.length >> 1;
        const edited = [data.subarray(0, middle), pattern(20, seed), data.subarray(middle + seed)];
        const written = Buffer.concat(edited);
        return this.#both(async ({ file }) => {
          await program.call("os.ftruncate", file, start);
          for (let k = 0; k < written.length; k += operation.chunk) {
            await program.pwrite(file, written.subarray(k, k + operation.chunk), start + k);
          }
        });
      }
      case "copy": {
        const from = Math.floor(operation.at * size);
        const to = Math.floor(operation.to * size);
        // Overlapping ranges are EINVAL.
        const count = Math.min(operation.length, Math.abs(from - to), size - from);
        if (count <= 0) return;
        return this.#both(async ({ file }) => {
          let done = 0;
          while (done < count) {
            const args = [file, file, count - done, from + done, to + done];
            done += (await program.call("os.copy_file_range", ...args)) as number;
          }
        });
      }
      case "hint": {
        if (size > sizeMax) return;
        const own = pattern(operation.own, seed);
        const shared = pattern(operation.shared, seed + 1000);
        accept(await this.#hints.deliver(shared, [{ path: this.name, private: own }]));
        await program.write(this.#plain.appending, Buffer.concat([own, shared]));
        return;
      }
      case "share": {
        const offset = Math.floor(operation.at * size);
        const length = Math.min(operation.length, size - offset);
        if (length === 0 || size > sizeMax) return;
        const from = { path: this.name, offset, length };
        accept(await this.#hints.request({ op: "share", from, to: { path: this.name } }));
        const data = await program.pread(this.#plain.file, length, offset);
        await program.write(this.#plain.appending, data);
        return;
      }
      case "remove": {
        const offset = Math.floor(operation.at * size);
        const length = Math.min(operation.length, size - offset);
        if (length === 0) return;
        accept(await this.#hints.request({ op: "remove", path: this.name, offset, length }));
        const rest = await program.pread(this.#plain.file, size, offset + length);
        await program.pwrite(this.#plain.file, rest, offset);
        await program.call("os.ftruncate", this.#plain.file, size - length);
        return;
      }
      case "read": {
        const offset = Math.floor(operation.at * size);
        const read = (fd: number) => program.pread(fd, operation.length, offset);
        equal(Buffer.compare(await read(this.#mount.file), await read(this.#plain.file)), 0);
        return;
      }
      case "map": {
        if (this.binding !== "kernel" || size === 0) return;
        const { file } = this.#mount;
        const map = (await program.call("mmap", file, mapped, PROT_READ, MAP_SHARED)) as number;
        const seen = (await program.call("map_read", map, 0, size)) as Buffer;
        equal(Buffer.compare(seen, await program.pread(this.#plain.file, size, 0)), 0);
        await program.call("munmap", map);
        return;
      }
      case "sync":
        return this.#both(({ file }) => program.call("os.fsync", file));
      case "reopen":
        await this.close();
        return this.open();
      case "remount":
        await this.close();
        await this.harness.mount.remount();
        return this.open();
    }
  }
}

function accept(reply: Reply): void {
  equal(reply.ok, true, JSON.stringify(reply));
}

for (const binding of bindings) {
  await t.test(binding, needs(binding, timeout), async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "onespool-plain-"));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const harness = await Harness.start(t, { binding });
    let number = 0;
    const operations = fc.array(operation, { minLength: 20, maxLength: 60 });
    const property = fc.asyncProperty(operations, fc.nat(59), async (list, remountAt) => {
      const pair = new Pair(harness, binding, directory, `file-${number++}`);
      await pair.open();
      // Every third run: a remount takes longer than all the rest.
      const remounts = number % 3 === 0;
      for (const [i, one] of list.entries()) {
        if (remounts && i === remountAt % list.length) await pair.perform({ do: "remount" });
        await pair.perform(one);
        await pair.check(`operation ${i}: ${JSON.stringify(one)}`);
      }
      await pair.close();
    });
    await fc.assert(property, {
      seed,
      numRuns: 20,
      endOnFailure: true,
    });
    await harness.mount.stop();
    t.pass();
  });
}
