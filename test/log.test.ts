import t from "tap";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const logger = fileURLToPath(new URL("./log-process.js", import.meta.url));
const LINES = 1000;

interface Line {
  readonly level: string;
  readonly time: string;
  readonly process: string;
  readonly pid: number;
  readonly msg: string;
  readonly number?: number;
}

function linesOf(file: string): Line[] {
  const text = readFileSync(file, "utf8");
  const lines = text.split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Line);
}

function directory(t: Tap): string {
  const path = mkdtempSync(join(tmpdir(), "onespool-log-"));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

interface Tap {
  teardown(done: () => void): unknown;
}

/**
 * Logs LINES lines and then does what `end` says. Through a shell that takes away what a test runner puts into the
 * processes of its tests: it listens for signals too.
 */
function run(file: string, end: string) {
  const script = 'unset NODE_OPTIONS; exec "$0" "$@"';
  const program = [process.execPath, logger, file, String(LINES), end];
  return spawn("/bin/sh", ["-c", script, ...program], { stdio: ["ignore", "pipe", "pipe", "ipc"] });
}

for (const end of ["return", "exit", "throw", "reject"]) {
  t.test(`no line is lost when a process ends by ${end}`, async (t) => {
    const file = join(directory(t), "log");
    const child = run(file, end);
    await once(child, "exit");
    const lines = linesOf(file);
    t.equal(lines.length, LINES);
    t.ok(lines.every((line, index) => line.number === index));
  });
}

t.test("no line is lost at SIGTERM, with or without another listener for it", async (t) => {
  for (const end of ["wait", "waitListening"]) {
    const file = join(directory(t), "log");
    const child = run(file, end);
    await once(child, "message");
    child.kill("SIGTERM");
    const [code] = (await once(child, "exit")) as [number | null];
    t.equal(code, end === "wait" ? 143 : 0);
    t.equal(linesOf(file).length, LINES);
  }
});

t.test("a line says when, how bad, which process and what", async (t) => {
  const file = join(directory(t), "log");
  const child = run(file, "exit");
  await once(child, "exit");
  const [first] = linesOf(file);
  t.match(first, {
    level: "info",
    process: "worker",
    pid: child.pid,
    msg: 'a "line"\n',
    number: 0,
  });
  t.match(first?.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

t.test("a rotated log goes on in the new file, and no line is in both or in none", async (t) => {
  const file = join(directory(t), "log");
  const child = run(file, "reopen");
  await once(child, "message");
  renameSync(file, `${file}.1`);
  child.send("reopen");
  await once(child, "exit");
  t.equal(linesOf(`${file}.1`).length, LINES);
  t.equal(linesOf(file).length, LINES);
});

t.test("a file that cannot be opened anew leaves the log where it was", async (t) => {
  const file = join(directory(t), "log");
  const child = run(file, "configureBadly");
  const [code] = (await once(child, "exit")) as [number | null];
  t.equal(code, 0);
  t.equal(linesOf(file).length, 2 * LINES);
});

t.test("lines of several processes in one file stay whole", async (t) => {
  const file = join(directory(t), "log");
  const children = [1, 2, 3].map(() => run(file, "exit"));
  await Promise.all(children.map((child) => once(child, "exit")));
  t.equal(linesOf(file).length, 3 * LINES);
});

t.test("a full disk does not end or hold up the process", async (t) => {
  const child = run("/dev/full", "exit");
  const [code] = (await once(child, "exit")) as [number | null];
  t.equal(code, 0);
});
