/** How the front is started, and what its messages are. */
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

export const FRONT_PROGRAM = fileURLToPath(new URL("../front/main.js", import.meta.url));

/** Of the front's own pool: quotas are looked at in the mount, which may take its time. Workers have another number. */
const POOL_THREADS = "8";

/**
 * What front and workers know of the environment of who started the server: the rest may be secret, and whoever is their
 * account can read theirs.
 */
const PASSED_ON = /^(?:PATH|TZ|LANG|LC_.*|TMPDIR|NODE_.*|UV_.*|MALLOC_.*|OPENSSL_.*|SSL_.*)$/;

function environment(): NodeJS.ProcessEnv {
  const passedOn = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
  return { UV_THREADPOOL_SIZE: POOL_THREADS, ...Object.fromEntries(passedOn) };
}

/** In a session of its own: Ctrl-C in a terminal reaches the supervisor alone, which drains. */
export function forkFront(program: string): ChildProcess {
  return fork(program, [], {
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: environment(),
  });
}
