/** `onespool fsck`: proves a store that nobody has open. */
import { realpath, stat } from "node:fs/promises";
import { Command } from "commander";
import type { CheckReport } from "../fs/store/check.ts";
import { about, CommandFailure, EXIT_ERRORS_LEFT } from "./failure.ts";
import { bytes, grouped } from "./numbers.ts";
import { Progress } from "./progress.ts";

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

async function fsck(
  given: string,
  options: { json?: boolean; rebuildIndex?: boolean },
): Promise<void> {
  if (!(await about(given, () => stat(given))).isDirectory()) {
    throw new CommandFailure(`${given}: not a store (it is not a directory)`);
  }
  const { checkStore } = await import("../fs/store/check.ts");
  const progress = new Progress();
  const report = await about(given, async () =>
    checkStore(await realpath(given), {
      rebuildIndex: options.rebuildIndex === true,
      onProgress: (stage, part) => progress.show(`${stage}: ${Math.floor(part * 100)} %`),
    }),
  ).finally(() => progress.clear());
  process.stdout.write(
    options.json === true ? `${JSON.stringify(report, undefined, 2)}\n` : asText(given, report),
  );
  if (!report.clean) process.exitCode = EXIT_ERRORS_LEFT;
}

export function fsckCommand(): Command {
  return new Command("fsck")
    .description("prove that a store is sound")
    .argument("<store>", "the directory of a store that is not in use")
    .option("--json", "print the report as JSON")
    .option("--rebuild-index", "make the index anew from the log first")
    .addHelpText("after", help)
    .action(fsck);
}
