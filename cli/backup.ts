/** `onespool backup`: a consistent copy of a store, also of one that is in use. */
import { statSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import type { BackupReport } from "../fs/backup/backup.ts";
import { about, CommandFailure, EXIT_ERRORS_LEFT } from "./failure.ts";
import { resolveOutsideSpools } from "./mount-places.ts";
import { contains } from "./mountinfo.ts";
import { bytes, grouped } from "./numbers.ts";
import { Progress } from "./progress.ts";
import { printReport } from "./report.ts";

const help = `
STORE may be in use. DIR keeps the backups of one store: the first one copies everything, each
further one what is new. Restore one with "onespool restore". docs/BACKUP.md has the rest.
Exit codes: 0 done, 4 done, but something in the store is damaged, 1 failed.`;

function asText(place: string, report: BackupReport): string {
  const { segments, copiedSegments, copiedBytes, damage, removedBackups } = report;
  const lines = damage.map(
    ({ segment, offset, length, kind }) =>
      `segment ${segment}, offset ${offset}: ${bytes(length)} damaged in the store (${kind})`,
  );
  if (damage.length > 0) {
    lines.push(`the store is damaged: see onespool fsck; no old backup was removed`);
  }
  for (const name of report.mendedCopies) {
    lines.push(`segments/${name} in ${place} was damaged, and is copied again`);
  }
  if (removedBackups.length > 0) {
    lines.push(
      `removed ${grouped(removedBackups.length)} old backups, ${bytes(report.removedBytes)}`,
    );
  }
  lines.push(
    `backup ${report.number} in ${place}: ${grouped(segments)} segments, ${bytes(report.bytes)}; ` +
      `copied ${grouped(copiedSegments)} of them, ${bytes(copiedBytes)}`,
  );
  return `${lines.join("\n")}\n`;
}

async function backup(
  given: string,
  givenPlace: string,
  options: { keep?: number; json?: boolean },
): Promise<void> {
  const store = await about(given, () => realpath(given));
  const place = await resolveOutsideSpools(givenPlace);
  if (contains(store, place) || contains(place, store)) {
    throw new CommandFailure(
      `${givenPlace}: a store and its backups may not be in each other; give a directory elsewhere, best on another disk`,
    );
  }
  await about(given, () => {
    if (!statSync(store).isDirectory()) {
      throw new CommandFailure(`${given}: not a store (it is not a directory)`);
    }
  });
  const progress = new Progress();
  const { backup: run } = await import("../fs/backup/backup.ts");
  const report = await about(given, () =>
    run(store, place, {
      keep: options.keep,
      onProgress: (done, all) => progress.show(`backup: segment ${done + 1} of ${all}`),
    }),
  ).finally(() => progress.clear());
  printReport(options.json, report, () => asText(place, report));
  if (report.damage.length > 0) process.exitCode = EXIT_ERRORS_LEFT;
}

function parseKeep(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1 || !Number.isSafeInteger(count)) {
    throw new InvalidArgumentError("It is a number of backups, 1 or more.");
  }
  return count;
}

export function backupCommand(): Command {
  return new Command("backup")
    .description("copy a store, also while it is in use")
    .argument("<store>", "the directory of a store")
    .argument("<dir>", "where its backups are kept; made if it is missing")
    .option("--keep <count>", "remove older backups than so many (default: none)", parseKeep)
    .option("--json", "print the report as JSON")
    .addHelpText("after", help)
    .action(backup);
}
