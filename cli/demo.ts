/**
 * `make run`: a spool at ./spool with its store in ./spool-store, one mail delivered to 15 mailboxes, and
 * the bill. Serves until Ctrl-C. Everything is done through the `onespool` command in processes of its
 * own: this one could touch the mount, since it does not serve it.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, realpathSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CommandFailure, EXIT_FAILED, reasonOf } from "./failure.ts";
import { isOnespool, mountAt, readMounts } from "./mountinfo.ts";
import { bytes, grouped } from "./numbers.ts";
import { probe } from "./unmounting.ts";

const here = dirname(fileURLToPath(import.meta.url));
const command = join(here, "onespool.js");
const message = resolve(here, "../../test/data/message.eml");
const store = resolve("spool-store");
const spool = resolve("spool");

const names =
  "alice bob carol dave erin frank grace heidi ivan judy mallory niaj olivia peggy rupert".split(
    " ",
  );

interface Statistics {
  readonly logicalBytes: number;
  readonly storedBytes?: number;
}

/** Its output; stderr goes where ours goes. */
async function onespool(...args: string[]): Promise<string> {
  const child = spawn(process.execPath, [command, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new CommandFailure(`onespool ${args[0]} failed`);
  return output;
}

async function statistics(): Promise<Statistics> {
  return JSON.parse(await onespool("stat", spool, "--json")) as Statistics;
}

/** An earlier run that still serves is left alone; one that died has left its mount behind. */
async function removeStaleMount(): Promise<void> {
  const mountpoint = join(realpathSync(dirname(spool)), basename(spool));
  const entry = mountAt(readMounts(), mountpoint);
  if (entry === undefined) return;
  if (!isOnespool(entry)) throw new CommandFailure(`${spool}: something else is mounted there`);
  if ((await probe(mountpoint)) !== "dead") {
    throw new CommandFailure(
      "./spool is served already, by another `make run`: end that one first (Ctrl-C, or onespool umount spool)",
    );
  }
  process.stdout.write("./spool is still mounted from a run that died: replacing that mount\n");
  await onespool("umount", mountpoint);
}

/**
 * In a session of its own, so that Ctrl-C reaches it once, through us. Resolves when the mount answers.
 */
async function startServing(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [command, "mount", store, spool], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const ready = new Promise<void>((answer, fail) => {
    child.stdout.once("data", (line: Buffer) => {
      process.stdout.write(line);
      answer();
    });
    child.once("error", fail);
    child.once("exit", () => fail(new CommandFailure("onespool mount failed")));
  });
  await ready;
  return child;
}

async function deliver(): Promise<void> {
  const before = await statistics();
  const paths = names.map((name) => join(spool, name));
  process.stdout.write(await onespool("deliver", message, ...paths));
  const after = await statistics();
  process.stdout.write(`\n${paths.map((path) => `  ${relative(".", path)}`).join("\n")}\n\n`);
  const lines = [
    `logical  ${bytes(after.logicalBytes - before.logicalBytes)} of mail in the files`,
  ];
  if (before.storedBytes !== undefined && after.storedBytes !== undefined) {
    const stored = after.storedBytes - before.storedBytes;
    lines.push(`stored   ${bytes(stored)}: the message once, and what is each recipient's own`);
    lines.push(
      `         ${grouped(after.logicalBytes)} and ${grouped(after.storedBytes)} bytes in all runs together`,
    );
  }
  process.stdout.write(`${lines.join("\n")}\n`);
}

async function main(): Promise<number> {
  await removeStaleMount();
  mkdirSync(spool, { recursive: true });
  const serving = await startServing();
  const ended = once(serving, "exit") as Promise<[number | null]>;
  // A second signal of the same kind ends the server at once, as `onespool mount` has it.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => serving.kill(signal));
  }
  try {
    await deliver();
    process.stdout.write("\nServing ./spool: look at it from another terminal. Ctrl-C ends.\n");
  } catch (error) {
    serving.kill("SIGTERM");
    await ended;
    throw error;
  }
  const [code] = await ended;
  if (code !== 0) throw new CommandFailure("the process that served ./spool has failed");
  process.stdout.write("\n./spool is unmounted, ./spool-store is closed\n");
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`make run: ${reasonOf(error)}\n`);
  process.exitCode = EXIT_FAILED;
}
