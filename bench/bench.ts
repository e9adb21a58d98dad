/**
 * Measures the spool against a plain directory on the same disk (docs/BENCH.md says what each row does).
 * A figure that misses its target is printed as any other and does not fail the run: only a row that
 * could not be measured does.
 */
import { rmSync, writeFileSync } from "node:fs";
import { killAll } from "./children.ts";
import { formatFigure, formatTable, median, passes, ratioOf, type Figure } from "./figures.ts";
import { describeMachine, refusal } from "./machine.ts";
import { endDovecots } from "./imap/side.ts";
import { Native } from "./native.ts";
import { HELP, parseOptions, type Options } from "./options.ts";
import { appendRow } from "./rows/append.ts";
import { deliverKnownRow, deliverRows, finishDeliverRows } from "./rows/deliver.ts";
import { imapRow } from "./rows/imap.ts";
import { memoryRow } from "./rows/memory.ts";
import { readRow } from "./rows/read.ts";
import { requestsRow } from "./rows/requests.ts";
import { smtpBounceRows } from "./rows/smtp-bounce.ts";
import { smtpIdleRow } from "./rows/smtp-idle.ts";
import { smtpMessageRows } from "./rows/smtp-messages.ts";
import { smtpReclaimRow } from "./rows/smtp-reclaim.ts";
import { smtpWrittenRow } from "./rows/smtp-written.ts";
import { storeRow } from "./rows/store.ts";
import { writtenRow } from "./rows/written.ts";
import { destroyServers } from "./smtp/server-process.ts";
import { destroyAll } from "./spool-process.ts";
import { progress, Workspace } from "./workspace.ts";

interface Row {
  readonly name: string;
  readonly says: string;
  readonly measure: (workspace: Workspace) => Promise<Figure[]>;
}

const ROWS: readonly Row[] = [
  ...deliverRows,
  deliverKnownRow,
  writtenRow,
  readRow,
  appendRow,
  memoryRow,
  requestsRow,
  storeRow,
  imapRow,
  ...smtpMessageRows,
  smtpWrittenRow,
  smtpReclaimRow,
  ...smtpBounceRows,
  smtpIdleRow,
];

async function main(): Promise<number> {
  let options: Options;
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n${HELP}`);
    return 2;
  }
  if (options.help) return print(HELP.trimEnd());
  if (options.list) return print(ROWS.map(({ name, says }) => `${name}\t${says}`).join("\n"));
  const rows = chooseRows(options.only);
  if (rows.length === 0) {
    process.stderr.write(`bench: no row is called ${options.only.join(", ")} (--list)\n`);
    return 2;
  }
  const directory = Workspace.makeDirectory(options);
  const leave = async (): Promise<void> => {
    // First those whose processes are found through their parent, while it lives.
    await destroyServers();
    killAll();
    await destroyAll();
    // Last: what of them waits for a mount is free now.
    await endDovecots();
    if (!options.keep) rmSync(directory, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void leave().finally(() => process.exit(130)));
  }
  try {
    const refused = refusal(directory);
    if (refused !== undefined) {
      process.stderr.write(`bench: ${refused}\n`);
      return 2;
    }
    return await measureRows(rows, directory, options);
  } finally {
    await leave();
  }
}

async function measureRows(
  rows: readonly Row[],
  directory: string,
  options: Options,
): Promise<number> {
  print(describeMachine(directory));
  print(`sizes:   ${describeSizes(options)}`);
  print(
    `runs:    ${options.runs} of each side, in turn; medians; binding ${options.binding}; --seed ${options.seed}`,
  );
  if (options.quick) print("quick:   small sizes, the figures say nothing about speed");
  const workspace = new Workspace(directory, await Native.compile(`${directory}/native`), options);
  const figures: Figure[] = [];
  const failures: string[] = [];
  for (const row of rows) {
    progress(`${row.name}: ${row.says}`);
    try {
      const measured = await row.measure(workspace);
      figures.push(...measured);
      for (const figure of measured) print(`\n${formatFigure(figure)}`);
    } catch (error) {
      failures.push(row.name);
      print(`\n${row.name}: could not be measured: ${describe(error)}`);
      await destroyServers();
      await destroyAll();
      await endDovecots();
    }
    if (row === rows.findLast(({ name }) => name.startsWith("deliver-"))) {
      await finishDeliverRows(workspace).catch((error: unknown) => progress(describe(error)));
    }
  }
  if (figures.length > 0) print(`\n${formatTable(figures)}`);
  if (failures.length > 0) print(`\nnot measured: ${failures.join(", ")}`);
  if (options.json !== undefined) writeFileSync(options.json, toJson(figures, options));
  return failures.length > 0 ? 1 : 0;
}

function describeSizes({ sizes }: Options): string {
  return Object.entries(sizes)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

function chooseRows(only: readonly string[]): readonly Row[] {
  if (only.length === 0) return ROWS;
  return ROWS.filter(({ name }) =>
    only.some((wanted) => name === wanted || name.startsWith(`${wanted}-`)),
  );
}

function toJson(figures: readonly Figure[], options: Options): string {
  const results = figures.map((figure) =>
    Object.assign({}, figure, {
      median: median(figure.ours),
      ratio: ratioOf(figure),
      passes: passes(figure),
    }),
  );
  return `${JSON.stringify({ seed: options.seed, runs: options.runs, sizes: options.sizes, figures: results }, undefined, 2)}\n`;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

function print(text: string): 0 {
  process.stdout.write(`${text}\n`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`bench: ${describe(error)}\n`);
  process.exitCode = 1;
}
