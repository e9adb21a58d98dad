/** `onespool restore`: a new store from a backup. */
import { realpath } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import type { Manifest } from "../fs/backup/manifest.ts";
import type { RestoreReport } from "../fs/backup/restore.ts";
import { about, EXIT_ERRORS_LEFT, UsageFailure } from "./failure.ts";
import { bytes, grouped } from "./numbers.ts";
import { resolveOutsideSpools } from "./mount-places.ts";
import { Progress } from "./progress.ts";
import { printReport } from "./report.ts";

const help = `
STORE is a new or an empty directory. Every byte is compared with its checksum. Then the index
is made from the log, unless --no-index leaves that to the first start.
Exit codes: 0 done, 4 done, but the backup is of a store that was damaged, 1 failed.`;

interface Options {
  readonly backup?: number;
  readonly list?: boolean;
  readonly check?: boolean;
  readonly index: boolean;
  readonly json?: boolean;
}

async function list(place: string, json: boolean): Promise<void> {
  const { listBackups } = await import("../fs/backup/restore.ts");
  const found = listBackups(place);
  printReport(json, found, () => found.map(asLine).join(""));
}

function asLine({ number, began, ended, segments }: Manifest): string {
  let length = 0;
  for (const copy of segments) length += copy.length;
  const damaged = segments.some((copy) => copy.damaged) ? "; of a damaged store" : "";
  return `${number}  began ${began}  ended ${ended}  ${grouped(segments.length)} segments, ${bytes(length)}${damaged}\n`;
}

async function makeIndex(store: string, progress: Progress): Promise<void> {
  const { Store } = await import("../fs/store/store.ts");
  const opened = await Store.open(store, {
    onProgress: (done, all) => progress.show(`index: ${bytes(done)} of ${bytes(all)}`),
  });
  await opened.close();
}

function asText(report: RestoreReport, store: string | undefined): string {
  const { number, began, segments, damagedSegments } = report;
  const what = `backup ${number} of ${began}: ${grouped(segments)} segments, ${bytes(report.bytes)}`;
  const damage =
    damagedSegments.length === 0
      ? ""
      : `damaged when they were copied: segments ${damagedSegments.join(", ")}; see onespool fsck\n`;
  return `${damage}${what}; ${store === undefined ? "everything fits its checksum" : `restored to ${store}`}\n`;
}

async function restore(
  givenPlace: string,
  given: string | undefined,
  options: Options,
): Promise<void> {
  const place = await about(givenPlace, () => realpath(givenPlace));
  if (options.list === true || options.check === true) {
    if (given !== undefined) throw new UsageFailure("--list and --check take no store");
    if (options.list === true) return list(place, options.json === true);
  } else if (given === undefined) {
    throw new UsageFailure("restore into which directory? (--list and --check need none)");
  }
  const store = given === undefined ? undefined : await resolveOutsideSpools(given);
  const progress = new Progress();
  const run = await import("../fs/backup/restore.ts");
  const report = await about(givenPlace, async () => {
    const done = await run.restore(place, store, {
      number: options.backup,
      onProgress: (doneBytes, all) =>
        progress.show(`restore: ${bytes(doneBytes)} of ${bytes(all)}`),
    });
    // The index of a damaged log cannot be made: fsck says what can be done.
    if (store !== undefined && options.index && done.damagedSegments.length === 0) {
      await makeIndex(store, progress);
    }
    return done;
  }).finally(() => progress.clear());
  printReport(options.json, report, () => asText(report, store));
  if (report.damagedSegments.length > 0) process.exitCode = EXIT_ERRORS_LEFT;
}

function parseNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("It is a number, as --list shows.");
  return Number(text);
}

export function restoreCommand(): Command {
  return new Command("restore")
    .description("make a store from a backup")
    .argument("<dir>", "where the backups of a store are kept")
    .argument("[store]", "a new or an empty directory")
    .option("--backup <number>", "which one (default: the newest)", parseNumber)
    .option("--list", "show what backups there are")
    .option("--check", "compare everything with its checksums and write nothing")
    .option("--no-index", "leave making the index to the first start")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(restore);
}
