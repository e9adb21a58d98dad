/** `onespool fsck`: proves a store that nobody has open. */
import { realpath, stat } from "node:fs/promises";
import { Command } from "commander";
import type { DifferingFile } from "../fs/salvage/differing.ts";
import type { SalvageReport } from "../fs/salvage/salvage.ts";
import type { CheckReport } from "../fs/store/check.ts";
import { describeDamage, printable } from "../fs/store/check/damage-text.ts";
import { about, CommandFailure, EXIT_ERRORS_LEFT } from "./failure.ts";
import { bytes, grouped } from "./numbers.ts";
import { resolveOutsideSpools } from "./mount-places.ts";
import { Progress } from "./progress.ts";
import { printReport } from "./report.ts";

const help = `
Checks every checksum and counts every reference again; the store must not be mounted.
Missing parts of the index are made from the log first, as at any start; a damaged index is
made anew. What is damaged in the log is told with the files that it touches, all of them
with --json. docs/DAMAGE.md says what to do. Exit codes: 0 the store is sound, 4 it is not, 1 it could not be checked.`;

function asText(store: string, report: CheckReport): string {
  const { problems, problemCount } = report;
  const lines = [...problems];
  if (problemCount > problems.length) {
    lines.push(`... and ${grouped(problemCount - problems.length)} problems more`);
  }
  for (const { file, offset } of report.indexDamage) {
    lines.push(`the index was damaged: ${file}, offset ${grouped(offset)}`);
  }
  if (report.indexRebuilt) lines.push("the index was made anew from the log");
  if (report.tornBytes > 0) {
    lines.push(`cut off ${bytes(report.tornBytes)} of an unfinished write at the end of the log`);
  }
  if (report.savedTail !== undefined) {
    lines.push(
      `whole records were in it, behind one that is not: it is kept in ${report.savedTail}`,
    );
  }
  const counts = [
    `names ${grouped(report.names)}`,
    `inodes ${grouped(report.inodes)}`,
    `units ${grouped(report.units)}`,
    `extents ${grouped(report.extents)}`,
    `segments ${grouped(report.segments)}`,
    `log ${bytes(report.logBytes)}`,
    `pending deliveries ${grouped(report.pending)}`,
  ];
  const verdict = report.clean ? "clean" : `problems: ${grouped(problemCount)}`;
  lines.push(`${store}: ${verdict}; ${counts.join(", ")}`);
  return `${lines.join("\n")}\n`;
}

async function salvageInto(given: string, givenTarget: string, json: boolean): Promise<void> {
  const target = await resolveOutsideSpools(givenTarget);
  const { salvage } = await import("../fs/salvage/salvage.ts");
  const progress = new Progress();
  const report = await about(given, async () =>
    salvage(await realpath(given), target, {
      onProgress: (stage, part) => progress.show(`${stage}: ${Math.floor(part * 100)} %`),
    }),
  ).finally(() => progress.clear());
  printReport(json, report, () => salvageText(target, report));
}

function salvageText(target: string, report: SalvageReport): string {
  const { damage, files, found, differing, indexKnown, unknownFiles } = report;
  const lines = [
    ...damage.map((one) => describeDamage(one, false, "a record about it is lost")),
    ...files.map(
      ({ path, zeroBytes }) =>
        `${printable(path)}: ${zeroBytes === 0 ? "changes did not fit" : `${bytes(zeroBytes)} are zeros now`}`,
    ),
    ...differing.map(describeDiffering),
    ...found.map((name) => `lost+found/${name}`),
    ...(unknownFiles > 0 && damage.length > 0
      ? [
          `${grouped(unknownFiles)} files of which only later records are left: what made them is lost, or they were deleted`,
        ]
      : []),
    ...(indexKnown
      ? []
      : [
          "without an index that can be used: whether the end of the log is missing cannot be told",
        ]),
    `${target}: a new store, without ${grouped(damage.length)} damaged parts of the log; ` +
      `${grouped(new Set([...files, ...differing].map(({ path }) => path)).size)} files touched, ${grouped(found.length)} in lost+found`,
  ];
  return `${lines.join("\n")}\n`;
}

function describeDiffering({ path, bytes: before, bytesNow }: DifferingFile): string {
  const now = bytesNow === undefined ? "is not in the new store" : `has ${bytes(bytesNow)} now`;
  const then = before === undefined ? "was deleted" : `had ${bytes(before)}`;
  const why = before === bytesNow ? "was changed later" : then;
  return `${printable(path)}: ${now}; by the index it ${why}`;
}

async function fsck(
  given: string,
  options: { json?: boolean; rebuildIndex?: boolean; salvage?: string },
): Promise<void> {
  if (!(await about(given, () => stat(given))).isDirectory()) {
    throw new CommandFailure(`${given}: not a store (it is not a directory)`);
  }
  if (options.salvage !== undefined) {
    return salvageInto(given, options.salvage, options.json === true);
  }
  const { checkStore } = await import("../fs/store/check.ts");
  const progress = new Progress();
  const report = await about(given, async () =>
    checkStore(await realpath(given), {
      rebuildIndex: options.rebuildIndex === true,
      onProgress: (stage, part) => progress.show(`${stage}: ${Math.floor(part * 100)} %`),
    }),
  ).finally(() => progress.clear());
  printReport(options.json, report, () => asText(given, report));
  if (!report.clean) process.exitCode = EXIT_ERRORS_LEFT;
}

export function fsckCommand(): Command {
  return new Command("fsck")
    .description("prove that a store is sound")
    .argument("<store>", "the directory of a store that is not in use")
    .option("--json", "print the report as JSON")
    .option("--rebuild-index", "make the index anew from the log first")
    .option("--salvage <dir>", "copy what is whole into a new store, for one that cannot be opened")
    .addHelpText("after", help)
    .action(fsck);
}
