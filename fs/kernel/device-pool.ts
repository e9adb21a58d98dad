/**
 * Reads /dev/fuse by blocking reads in Node's thread pool: the public way, at more than twice the cost for
 * each request. It occupies one of the pool's threads (UV_THREADPOOL_SIZE) for as long as the mount lives.
 */
import { close, read } from "node:fs";
import type { DeviceReader, OnDeviceEnd, OnRequest } from "./device.ts";

export function openPoolReader(
  descriptor: number,
  buffer: Buffer,
  onRequest: OnRequest,
  onEnd: OnDeviceEnd,
): DeviceReader {
  let ended = false;
  const end = (error?: Error): void => {
    if (ended) return;
    ended = true;
    void onEnd(error).finally(() => close(descriptor, () => {}));
  };
  const next = (): void => {
    read(descriptor, buffer, 0, buffer.length, null, (error, length) => {
      if (ended) return;
      if (error === null) onRequest(length);
      // ENOENT: the request was taken back while it was read.
      else if (error.code !== "EINTR" && error.code !== "EAGAIN" && error.code !== "ENOENT") {
        end(error);
        return;
      }
      next();
    });
  };
  next();
  return { kind: "pool", close: () => end() };
}
