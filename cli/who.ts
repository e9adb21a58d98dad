/** `onespool who`: which parts of a file are shared, and with how many. */
import { Command } from "commander";
import type { ClientPiece } from "../fs/hints/client.ts";
import { CommandFailure } from "./failure.ts";
import { bytes, grouped } from "./numbers.ts";
import { findPlace, withHints } from "./spool-paths.ts";
import { printReport } from "./report.ts";

const help = `
FILE is in a mounted spool. "others" counts the other places that have the same bytes: in other
files mostly, or again in this one. Which files they are is not told: only reading all files of
the spool would show it. Root only: nobody else may learn whether others have a message.`;

const columns = ["offset", "length", "unit", "others"] as const;

function asText(pieces: readonly ClientPiece[]): string {
  const cells = pieces.map(({ offset, length, unit, others }) =>
    unit === 0
      ? [grouped(offset), grouped(length), "hole", ""]
      : [grouped(offset), grouped(length), `${unit}`, others === 0 ? "none" : grouped(others)],
  );
  const rows = [columns, ...cells];
  const widths = columns.map((_, k) => Math.max(...rows.map((row) => row[k]!.length)));
  const table = rows.map((row) => row.map((cell, k) => cell.padStart(widths[k]!)).join("  "));
  let shared = 0;
  let own = 0;
  for (const { length, unit, others } of pieces) {
    if (others > 0) shared += length;
    else if (unit !== 0) own += length;
  }
  return `${table.join("\n")}\n\nshared   ${bytes(shared)}\nits own  ${bytes(own)}\n`;
}

async function who(file: string, options: { json?: boolean }): Promise<void> {
  const place = await findPlace(file);
  if (place === undefined) throw new CommandFailure(`${file}: is in no mounted spool`);
  if (place.path === "") throw new CommandFailure(`${file}: is a directory`);
  const pieces = await withHints(place.mountpoint, (client) => client.who(place.path));
  printReport(options.json, pieces, () => asText(pieces));
}

export function whoCommand(): Command {
  return new Command("who")
    .description("which parts of a file are shared, and with how many (root)")
    .argument("<file>", "a file in a mounted spool")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(who);
}
