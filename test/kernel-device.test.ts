/** The two readers of /dev/fuse, without a mount: a read is EPERM then, which ends them. */
import { closeSync, existsSync } from "node:fs";
import t from "tap";
import { DeviceWriter, openDevice, openReader, readFirst } from "../fs/kernel/device.ts";
import type { DeviceReader, DeviceReading } from "../fs/kernel/device.ts";
import { whyNoMount } from "./kernel-mounted.ts";

const skip = whyNoMount();

interface Opened {
  readonly descriptor: number;
  readonly reader: DeviceReader;
  /** The reader's end; the descriptor may be closed when `let` has been called. */
  readonly ended: Promise<void>;
  readonly let: () => void;
}

function open(reading: DeviceReading): Opened {
  const descriptor = openDevice();
  let end = (): void => {};
  let allow = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const allowed = new Promise<void>((resolve) => {
    allow = resolve;
  });
  const reader = openReader(
    reading,
    descriptor,
    Buffer.alloc(8192),
    () => {},
    () => {
      end();
      return allowed;
    },
  );
  return { descriptor, reader, ended, let: allow };
}

async function closed(descriptor: number): Promise<void> {
  while (existsSync(`/proc/self/fd/${descriptor}`)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

for (const reading of ["epoll", "pool"] as const) {
  t.test(`${reading} closes the descriptor only when it is let`, { skip }, async (t) => {
    const { descriptor, reader, ended, let: allow } = open(reading);
    t.equal(reader.kind, reading);
    reader.close();
    await ended;
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    t.ok(existsSync(`/proc/self/fd/${descriptor}`));
    allow();
    await closed(descriptor);
    t.notOk(existsSync(`/proc/self/fd/${descriptor}`));
  });
}

t.test("pool reads where the runtime has no pipe binding", { skip }, async (t) => {
  const runtime = process as unknown as { binding: unknown };
  const { binding } = runtime;
  t.teardown(() => {
    runtime.binding = binding;
  });
  for (const lacking of [
    undefined,
    () => {
      throw new Error("No such binding");
    },
  ]) {
    runtime.binding = lacking;
    const { descriptor, reader, ended, let: allow } = open("epoll");
    t.equal(reader.kind, "pool");
    allow();
    await ended;
    await closed(descriptor);
  }
});

t.test(
  "a writer that has ended writes nothing, one without a mount loses its reply",
  { skip },
  async (t) => {
    const descriptor = openDevice();
    const writer = new DeviceWriter(descriptor);
    t.equal(writer.send([Buffer.alloc(16)]), false);
    writer.end();
    t.equal(writer.send([Buffer.alloc(16)]), false);
    const abandon = new AbortController();
    const first = readFirst(descriptor, Buffer.alloc(8192), abandon.signal);
    abandon.abort();
    t.equal(await first, undefined, "no mount, no request");
    closeSync(descriptor);
  },
);
