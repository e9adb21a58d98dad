/**
 * Reads /dev/fuse through the event loop's epoll: libuv's pipe handle takes any descriptor that can be polled,
 * although Node offers it for sockets and pipes only. It makes the descriptor non-blocking. Measurement and
 * alternatives: docs/decisions/001-device-reading.md.
 *
 * This is the only place that uses process.binding. Where it is missing, openEpollReader returns undefined and
 * device-pool.ts reads instead.
 */
import { Socket } from "node:net";
import type { DeviceReader, OnDeviceEnd, OnRequest } from "./device.ts";
import { StayAwake } from "./stay-awake.ts";

interface PipeHandle {
  open(descriptor: number): number;
}

interface PipeBinding {
  readonly Pipe: new (type: number) => PipeHandle;
  readonly constants: { readonly SOCKET: number };
}

/** A pipe's socket that closes the descriptor only when everybody has stopped using its number. */
class DeviceSocket extends Socket {
  onEnd: OnDeviceEnd = () => Promise.resolve();

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    void this.onEnd(error ?? undefined).finally(() => super._destroy(null, callback));
  }
}

/** undefined when this Node does not have the means. The reader owns the descriptor from then on. */
export function openEpollReader(
  descriptor: number,
  buffer: Buffer,
  onRequest: OnRequest,
  onEnd: OnDeviceEnd,
): DeviceReader | undefined {
  const handle = openPipe(descriptor);
  if (handle === undefined) return undefined;
  const awake = new StayAwake();
  const options = {
    handle,
    onread: {
      buffer,
      callback(length: number): boolean {
        awake.arrived();
        onRequest(length);
        awake.handled();
        return true;
      },
    },
  };
  // `handle` is not in the documented options, though every release has it.
  const socket = new DeviceSocket(options as object);
  socket.onEnd = onEnd;
  // A read of 0 bytes starts the handle's reading; no data events are wanted.
  socket.read(0);
  return {
    kind: "epoll",
    close: () => socket.destroy(),
  };
}

function openPipe(descriptor: number): PipeHandle | undefined {
  const { binding } = process as { binding?: (name: string) => unknown };
  if (typeof binding !== "function") return undefined;
  try {
    const { Pipe, constants } = binding.call(process, "pipe_wrap") as PipeBinding;
    const handle = new Pipe(constants.SOCKET);
    return handle.open(descriptor) === 0 ? handle : undefined;
  } catch {
    // Removed, or refused by the permission model: an expected outcome of asking.
    return undefined;
  }
}
