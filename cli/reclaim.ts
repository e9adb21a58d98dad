/** `onespool reclaim`: gives back the space of what nobody references, or tells how that goes. */
import { realpath } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { Command } from "commander";
import type { ReclaimStatus } from "../fs/store/reclaim/reclaimer.ts";
import type { Waiting, WaitReason } from "../fs/store/reclaim/waiting.ts";
import { about, CommandFailure, EXIT_FAILED, UsageFailure } from "./failure.ts";
import { isOnespool, mountAt, readMounts } from "./mountinfo.ts";
import { bytes, grouped } from "./numbers.ts";
import { readMountpoint } from "./paths.ts";
import { Progress } from "./progress.ts";
import { findPlace, withHints } from "./spool-paths.ts";
import { printReport } from "./report.ts";

const help = `
PATH is the directory of a store or a mount point. A store that is in use is asked through
its mount, by root or who mounted it.

  --status   tell what is going on (this is what the command does without an option)
  --now      clean every segment that is worth it, without waiting for others, and wait
             for the end of it
  --stop     no cleaning any more, until --start or the next mount
  --start    clean in the background again
docs/SPACE.md says what space is used for and when it comes back.`;

type Action = "status" | "now" | "stop" | "start";

interface Flags {
  readonly status?: boolean;
  readonly now?: boolean;
  readonly stop?: boolean;
  readonly start?: boolean;
  readonly json?: boolean;
}

const ASK_MS = 200;

function actionOf(flags: Flags): Action {
  const given = (["status", "now", "stop", "start"] as const).filter((name) => flags[name]);
  if (given.length > 1) throw new UsageFailure(`--${given.join(" and --")}: only one of them`);
  return given[0] ?? "status";
}

const WHY_DEAD: Readonly<Record<WaitReason, string>> = {
  last: "in the last segment, which is still written to; it is cleaned when it is full, or the disk",
  index: "written since the index was; cleaned when the index has been written",
  indexFull:
    "cleaned when the index has been written; on a full disk cleaning does that (--now), if the reserve has room for it",
  roomToMove: "what lives beside them does not fit into the room that the full disk has left",
  little: "with much that lives beside them: not worth it yet",
  cleaning: "cleaned when it is worth it",
};

function whyDead({ reason, segments }: Waiting): string {
  const where =
    reason === "last" ? "" : `in ${grouped(segments)} segment${segments > 1 ? "s" : ""}, `;
  return `${where}${WHY_DEAD[reason]}`;
}

function asText(found: ReclaimStatus): string {
  const { state, segment, failure, kept } = found;
  const doing = segment === undefined ? state : `${state} segment ${segment}`;
  const lines = [
    `state                 ${failure === undefined ? doing : `${doing}: ${failure}`}`,
    `live                  ${bytes(found.liveBytes)}`,
    `  of it metadata      ${bytes(found.liveMetadataBytes)}`,
    `log                   ${bytes(found.logBytes)}`,
    `log at most           ${bytes(found.logBytesMax)}`,
    `given back            ${bytes(found.bytesFreed)}`,
    `segments given back   ${grouped(found.segmentsFreed)}`,
    `moved for it          ${bytes(found.bytesMoved)}`,
    `written for it        ${bytes(found.recordBytes)}`,
    ...found.waiting.map((one) => `still dead            ${bytes(one.bytes)}: ${whyDead(one)}`),
    ...kept.map((why) => `left as it is         ${why}`),
  ];
  return `${lines.join("\n")}\n`;
}

async function throughMount(mountpoint: string, action: Action): Promise<ReclaimStatus> {
  const progress = new Progress();
  try {
    return await withHints(mountpoint, async (client) => {
      let found = await client.reclaim(action);
      if (action !== "now") return found;
      while (found.state === "cleaning") {
        progress.show(`segment ${found.segment ?? "-"}: ${bytes(found.bytesFreed)} given back`);
        await pause(ASK_MS);
        found = await client.reclaim("status");
      }
      return found;
    });
  } finally {
    progress.clear();
  }
}

/** Nobody else has the store: there is no background to start or to stop. */
async function ofStore(store: string, action: Action): Promise<ReclaimStatus> {
  if (action === "start" || action === "stop") {
    throw new CommandFailure(`${store}: is not mounted; --${action} is for a store in use`);
  }
  const { Store } = await import("../fs/store/store.ts");
  const opened = await Store.open(store);
  const progress = new Progress();
  const timer = setInterval(() => {
    const { segment, bytesFreed } = opened.reclaimer.status();
    progress.show(`segment ${segment ?? "-"}: ${bytes(bytesFreed)} given back`);
  }, ASK_MS);
  try {
    if (action === "now") await opened.reclaim({ now: true });
    return opened.reclaimer.status();
  } finally {
    clearInterval(timer);
    progress.clear();
    await opened.close();
  }
}

async function perform(given: string, action: Action): Promise<ReclaimStatus> {
  const place = await findPlace(given);
  if (place !== undefined) return throughMount(place.mountpoint, action);
  const { isStore } = await import("../fs/store/directory.ts");
  const store = await about(given, () => realpath(given));
  if (!isStore(store)) throw new CommandFailure(`${given}: not a store and not a mounted spool`);
  const mountpoint = readMountpoint(store);
  const entry = mountpoint === undefined ? undefined : mountAt(readMounts(), mountpoint);
  if (mountpoint !== undefined && entry?.source === store && isOnespool(entry)) {
    return throughMount(mountpoint, action);
  }
  return about(given, () => ofStore(store, action));
}

async function reclaim(given: string, flags: Flags): Promise<void> {
  const action = actionOf(flags);
  const found = await perform(given, action);
  printReport(flags.json, found, () => asText(found));
  if (action === "now" && found.failure !== undefined) process.exitCode = EXIT_FAILED;
}

export function reclaimCommand(): Command {
  return new Command("reclaim")
    .description("give back the space of what nobody references")
    .argument("<path>", "store or mount point")
    .option("--status", "tell what is going on")
    .option("--now", "clean at once, and wait for the end of it")
    .option("--stop", "no more cleaning in the background")
    .option("--start", "clean in the background again")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(reclaim);
}
