/** How the front is started, and what its messages are. */
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

export const FRONT_PROGRAM = fileURLToPath(new URL("../front/main.js", import.meta.url));

/**
 * The workers inherit it. A delivery holds a thread of libuv's pool until it is durable, and those that arrive
 * together share one sync of the store: with the four threads of the default they would queue here instead.
 */
const POOL_THREADS = "8";

/** In a session of its own: Ctrl-C in a terminal reaches the supervisor alone, which drains. */
export function forkFront(program: string): ChildProcess {
  return fork(program, [], {
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: { UV_THREADPOOL_SIZE: POOL_THREADS, ...process.env },
  });
}
