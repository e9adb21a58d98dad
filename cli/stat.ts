/** `onespool stat`: what a store, a mount or a file holds, and what that takes. */
import { access, constants, realpath, stat as statPath } from "node:fs/promises";
import { Command } from "commander";
import type { ClientStatistics } from "../fs/hints/client.ts";
import { about, CommandFailure } from "./failure.ts";
import { isOnespool, mountAt, readMounts } from "./mountinfo.ts";
import { bytes, grouped } from "./numbers.ts";
import { readMountpoint } from "./paths.ts";
import { Progress } from "./progress.ts";
import { findPlace, withHints } from "./spool-paths.ts";

const help = `
PATH is the directory of a store, a mount point, or a file in a mount. A store that is in
use is asked through its mount. Everybody gets logicalBytes; root also gets what would tell
whether somebody else has the same message.`;

type Kind = "bytes" | "count" | "seconds";

/** In the order of printing: how a number is called, and what it counts. */
const rows: readonly (readonly [keyof ClientStatistics, string, Kind])[] = [
  ["logicalBytes", "logical", "bytes"],
  ["storedBytes", "stored", "bytes"],
  ["sharedBytes", "shared", "bytes"],
  ["files", "files", "count"],
  ["directories", "directories", "count"],
  ["units", "units", "count"],
  ["segments", "segments", "count"],
  ["segmentBytes", "in segments", "bytes"],
  ["liveMetadataBytes", "  names, files, maps", "bytes"],
  ["deadBytes", "  dead", "bytes"],
  ["deadLastBytes", "    in last segment", "bytes"],
  ["deadUnindexedBytes", "    until index", "bytes"],
  ["deadNoRoomBytes", "    no room to clean", "bytes"],
  ["deletedOpenBytes", "deleted, still open", "bytes"],
  ["cutOffBytes", "cut off, kept a while", "bytes"],
  ["pendingBytes", "in pending deliveries", "bytes"],
  ["unlinkedBytes", "in no file yet", "bytes"],
  ["tornBytes", "kept ends of the log", "bytes"],
  ["indexBytes", "index", "bytes"],
  ["reserveBytes", "reserve", "bytes"],
  ["pending", "pending deliveries", "count"],
  ["pendingNames", "pending names", "count"],
  ["oldestPendingSeconds", "oldest pending", "seconds"],
  ["indexLagBytes", "index lags", "bytes"],
  ["indexLagExtents", "index lags (extents)", "count"],
];

async function ofStore(store: string): Promise<ClientStatistics> {
  const mountpoint = readMountpoint(store);
  const entry = mountpoint === undefined ? undefined : mountAt(readMounts(), mountpoint);
  if (mountpoint !== undefined && entry?.source === store && isOnespool(entry)) {
    return withHints(mountpoint, (client) => client.statistics());
  }
  const { Store } = await import("../fs/store/store.ts");
  const progress = new Progress();
  const opened = await Store.open(store, {
    onProgress: (done, total) => progress.show(`opening: ${bytes(done)} of ${bytes(total)}`),
  });
  progress.clear();
  try {
    return { ...opened.statistics(), ...opened.spaceUse() };
  } finally {
    await opened.close();
  }
}

async function statistics(given: string): Promise<ClientStatistics> {
  const place = await findPlace(given);
  if (place !== undefined) {
    const path = place.path === "" ? [] : ([place.path] as const);
    return withHints(place.mountpoint, (client) => client.statistics(...path));
  }
  const { isStore } = await import("../fs/store/directory.ts");
  await about(given, async () => {
    // What may not be looked into would seem to be no store.
    if ((await statPath(given)).isDirectory()) await access(given, constants.R_OK | constants.X_OK);
  });
  if (!isStore(given)) {
    throw new CommandFailure(`${given}: not a store, not a mounted spool and no file in one`);
  }
  return about(given, async () => ofStore(await realpath(given)));
}

function asText(found: ClientStatistics): string {
  return rows
    .filter(([key]) => found[key] !== undefined)
    .map(([key, label, kind]) => {
      const value = found[key]!;
      const unit = kind === "seconds" ? " s" : "";
      return `${label.padEnd(22)}${kind === "bytes" ? bytes(value) : grouped(value)}${unit}\n`;
    })
    .join("");
}

function asJson(found: ClientStatistics): string {
  const known = rows.flatMap(([key]) => (found[key] === undefined ? [] : [[key, found[key]]]));
  return `${JSON.stringify(Object.fromEntries(known), undefined, 2)}\n`;
}

async function stat(path: string, options: { json?: boolean }): Promise<void> {
  const found = await statistics(path);
  process.stdout.write(options.json === true ? asJson(found) : asText(found));
}

export function statCommand(): Command {
  return new Command("stat")
    .description("what a store, a mount or a file holds and what it costs")
    .argument("<path>", "store, mount point, or a file in a mount")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(stat);
}
