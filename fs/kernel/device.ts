/**
 * /dev/fuse as a descriptor: requests are read by one of two readers, replies are written from this thread.
 *
 * The descriptor's number must not be used once it is closed: another file could have it by then, and a
 * segment of the store would get a reply's bytes. So a device that has ended writes nothing more, and the
 * descriptor is closed only after `onEnd` (which stops the invalidation thread) has resolved.
 */
import { constants, openSync, read, writeSync, writevSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { EIO } from "../../base/errno.ts";
import { outHeader } from "./abi.ts";
import { openEpollReader } from "./device-epoll.ts";
import { openPoolReader } from "./device-pool.ts";

/** The first `length` bytes of the buffer are a request, until the call returns. */
export type OnRequest = (length: number) => void;
/** The device can be read no more. The descriptor is closed when the promise resolves. */
export type OnDeviceEnd = (error?: Error) => Promise<void>;

export interface DeviceReader {
  readonly kind: DeviceReading;
  close(): void;
}

export type DeviceReading = "epoll" | "pool";

const path = "/dev/fuse";
/** Until mount(2) has taken the descriptor, reading it is EPERM. */
const beforeMountMs = 2;
/** Parts of one writev(2): IOV_MAX is 1,024. */
const partsMax = 1000;
/** Less is copied into one buffer: one plain write is cheaper than a gathering one. */
const copyLengthMax = 16 * 1024;

/** Throws what open(2) throws. */
export function openDevice(): number {
  return openSync(path, constants.O_RDWR);
}

/** The first request, INIT. undefined when `abandoned` says so before there is one. */
export async function readFirst(
  descriptor: number,
  buffer: Buffer,
  abandoned: AbortSignal,
): Promise<number | undefined> {
  while (!abandoned.aborted) {
    const result = await new Promise<number | NodeJS.ErrnoException>((resolve) => {
      read(descriptor, buffer, 0, buffer.length, null, (error, length) => resolve(error ?? length));
    });
    if (typeof result === "number") return result;
    if (result.code !== "EPERM") throw result;
    await sleep(beforeMountMs);
  }
  return undefined;
}

export function openReader(
  reading: DeviceReading,
  descriptor: number,
  buffer: Buffer,
  onRequest: OnRequest,
  onEnd: OnDeviceEnd,
): DeviceReader {
  const epoll =
    reading === "epoll" ? openEpollReader(descriptor, buffer, onRequest, onEnd) : undefined;
  return epoll ?? openPoolReader(descriptor, buffer, onRequest, onEnd);
}

export class DeviceWriter {
  readonly #descriptor: number;
  readonly #joined = Buffer.alloc(copyLengthMax);
  #ended = false;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Nothing is written from now on. */
  end(): void {
    this.#ended = true;
  }

  /**
   * Sends one reply. False when it did not reach the kernel: the request is gone (ENOENT), the mount is
   * (ENODEV), or the kernel refused the reply's form; then the program that waits gets EIO instead.
   */
  send(parts: Buffer[]): boolean {
    if (this.#ended) return false;
    const code = this.#write(parts);
    if (code === undefined) return true;
    if (code !== "ENOENT" && code !== "ENODEV") this.#sendEio(parts);
    return false;
  }

  #write(parts: Buffer[]): string | undefined {
    try {
      const [first] = parts;
      if (parts.length === 1 && first !== undefined) writeSync(this.#descriptor, first);
      else this.#gather(parts);
      return undefined;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? "EIO";
    }
  }

  #gather(parts: Buffer[]): void {
    let length = 0;
    for (const part of parts) length += part.length;
    if (length <= copyLengthMax) {
      let at = 0;
      for (const part of parts) {
        this.#joined.set(part, at);
        at += part.length;
      }
      writeSync(this.#descriptor, this.#joined, 0, length);
    } else if (parts.length <= partsMax) {
      writevSync(this.#descriptor, parts);
    } else {
      writeSync(this.#descriptor, Buffer.concat(parts));
    }
  }

  #sendEio([header]: Buffer[]): void {
    if (header === undefined) return;
    const reply = Buffer.from(header.subarray(0, outHeader.sizeof));
    reply.writeUInt32LE(outHeader.sizeof, outHeader.len);
    reply.writeInt32LE(EIO, outHeader.error);
    this.#write([reply]);
  }
}
