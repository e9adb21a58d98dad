/** Paths as the hints want them: which mount a path is in, and where in it. */
import { HintClient, HintError, type ClientPath } from "../fs/hints/client.ts";
import { about, CommandFailure, EXIT_FAILED } from "./failure.ts";
import { isOnespool, mountOf, pathInside, readMounts, rootMount } from "./mountinfo.ts";
import { resolveFile } from "./paths.ts";

export interface Place {
  /** Of the whole file system: the control file is in it. */
  readonly mountpoint: string;
  readonly device: string;
  /** From the root of the file system; "" is the root. */
  readonly path: string;
}

/** Undefined for a path outside of all spools. Of a file that need not exist the directory must. */
export async function findPlace(given: string): Promise<Place | undefined> {
  const path = await about(given, () => resolveFile(given));
  const mounts = readMounts();
  const entry = mountOf(mounts, path);
  if (entry === undefined || !isOnespool(entry)) return undefined;
  const root = rootMount(mounts, entry);
  if (root === undefined) {
    throw new CommandFailure(`${given}: the root of its file system is mounted nowhere`);
  }
  return { mountpoint: root.mountpoint, device: entry.device, path: pathInside(entry, path) };
}

/** Runs requests in one conversation with a mount; a refusal names the file as the caller knows it. */
export async function withHints<T>(
  mountpoint: string,
  requests: (client: HintClient) => Promise<T>,
): Promise<T> {
  const client = await about(mountpoint, () => HintClient.open(mountpoint));
  try {
    return await requests(client);
  } catch (error) {
    if (!(error instanceof HintError)) throw error;
    // Which file it was and what was being written then helps nobody.
    const text =
      error.reason === "storeFull"
        ? `${mountpoint}: no space left in the store`
        : `${named(mountpoint, error.path)}${error.message}`;
    throw new CommandFailure(text, EXIT_FAILED, { cause: error });
  } finally {
    await client.close();
  }
}

function named(mountpoint: string, path: ClientPath | undefined): string {
  return path === undefined ? "" : `${mountpoint}/${path.toString()}: `;
}
