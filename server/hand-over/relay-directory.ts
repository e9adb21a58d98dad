/**
 * Where a worker's socket for relayed sessions is: in a directory of its own under the system's one for temporary files,
 * which nobody else may enter. A worker that is killed leaves it behind; then its front removes it, or, when that was killed
 * too, the next front.
 */
import { lstatSync, mkdtempSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PREFIX = "onespool-relay-";
const SOCKET = "relay";
/** One without a socket may be just being made. */
const EMPTY_MS_MAX = 60_000;

export interface RelayDirectory {
  readonly directory: string;
  readonly socket: string;
}

export function makeRelayDirectory(): RelayDirectory {
  const directory = mkdtempSync(join(tmpdir(), PREFIX));
  return { directory, socket: join(directory, SOCKET) };
}

/** One that is gone already is none the worse. */
export function removeRelayDirectory(directory: string): void {
  try {
    unlinkSync(join(directory, SOCKET));
  } catch {
    // It never came so far.
  }
  try {
    rmdirSync(directory);
  } catch {
    // Gone, or it holds what is not ours.
  }
}

/** Removes those of this account at whose socket nobody listens. */
export async function removeStaleRelayDirectories(): Promise<void> {
  for (const name of relayDirectories()) {
    const directory = join(tmpdir(), name);
    if (isOwn(directory) && (await isStale(directory))) removeRelayDirectory(directory);
  }
}

/** None where there is no directory for them: who makes one says so. */
function relayDirectories(): string[] {
  try {
    return readdirSync(tmpdir()).filter((name) => name.startsWith(PREFIX));
  } catch {
    return [];
  }
}

function isOwn(directory: string): boolean {
  try {
    const { uid } = lstatSync(directory);
    return uid === process.geteuid?.();
  } catch {
    return false;
  }
}

async function isStale(directory: string): Promise<boolean> {
  const code = await connectionError(join(directory, SOCKET));
  if (code === "ECONNREFUSED") return true;
  if (code !== "ENOENT") return false;
  try {
    return Date.now() - lstatSync(directory).mtimeMs > EMPTY_MS_MAX;
  } catch {
    return false;
  }
}

/** Undefined: somebody listens. */
function connectionError(path: string): Promise<string | undefined> {
  return new Promise((settle) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      settle(undefined);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => settle(error.code ?? "unknown"));
  });
}
