/**
 * `make run`: the mail server on its embedded default, one mail sent to 15 recipients by SMTP, and the bill. Serves
 * until Ctrl-C. Everything is done through the `onespool` command in processes of its own and through the
 * server's port.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { sendMail } from "./demo-mail.ts";
import { CommandFailure, EXIT_FAILED, reasonOf } from "./failure.ts";
import { isOnespool, mountAt, readMounts } from "./mountinfo.ts";
import { bytes, grouped } from "./numbers.ts";
import { probe } from "./unmounting.ts";

const here = dirname(fileURLToPath(import.meta.url));
const command = join(here, "onespool.js");
const message = resolve(here, "../../test/data/message.eml");
const spool = resolve("spool");
const port = { host: "127.0.0.1", port: 2525 };

const users = Array.from({ length: 15 }, (_, index) => `user${index + 1}`);

const more = `
Serving: look at ./spool from another terminal, and send more, from there too:
  swaks --server 127.0.0.1:2525 --to user1@example.test,user2@example.test
Ctrl-C ends. Its log:
`;

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

/** An earlier run that still serves is left alone; one that died has left a mount that the server replaces. */
async function checkNotServed(): Promise<void> {
  const mountpoint = join(realpathSync(dirname(spool)), basename(spool));
  const entry = mountAt(readMounts(), mountpoint);
  if (entry === undefined) return;
  if (!isOnespool(entry)) throw new CommandFailure(`${spool}: something else is mounted there`);
  if ((await probe(mountpoint)) === "dead") return;
  throw new CommandFailure(
    "./spool is served already, by another `make run`: end that one first (Ctrl-C, or onespool umount spool)",
  );
}

/** The server's output: lines for people as they come, lines of its log from `showLog` on. */
class Output {
  #held: string[] | undefined = [];

  line(line: string): void {
    if (line.startsWith("{") && this.#held !== undefined) this.#held.push(line);
    else process.stdout.write(`${line}\n`);
  }

  showLog(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const line of held) this.line(line);
  }
}

/** In a session of its own, so that Ctrl-C reaches it once, through us. Resolves when it serves. */
async function startServing(output: Output): Promise<ChildProcess> {
  const child = spawn(process.execPath, [command, "serve"], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  // A second signal of the same kind ends the server at once.
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => child.kill(signal));
  }
  // The terminal is gone: to the server this signal would say that it should read its configuration again.
  process.on("SIGHUP", () => child.kill("SIGTERM"));
  await new Promise<void>((ready, fail) => {
    createInterface(child.stdout).on("line", (line) => {
      output.line(line);
      // The last of its lines for people.
      if (line.startsWith("metrics: ")) ready();
    });
    child.once("error", fail);
    child.once("exit", () => fail(new CommandFailure("onespool serve has ended")));
  });
  return child;
}

async function send(): Promise<void> {
  const before = await statistics();
  const reply = await sendMail(port, {
    sender: "newsletter-bounces+2026-08@lists.harbour-choir.example",
    recipients: users.map((user) => `${user}@example.test`),
    message: readFileSync(message),
  });
  const after = await statistics();
  process.stdout.write(`\nsent one mail to ${users.length} recipients: ${reply}\n\n`);
  process.stdout.write(`${users.map((user) => `  spool/${user}`).join("\n")}\n\n`);
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
  await checkNotServed();
  const output = new Output();
  const serving = await startServing(output);
  const ended = once(serving, "exit") as Promise<[number | null]>;
  try {
    await send();
    process.stdout.write(more);
    output.showLog();
  } catch (error) {
    serving.kill("SIGTERM");
    await ended;
    throw error;
  }
  const [code] = await ended;
  if (code !== 0) throw new CommandFailure("onespool serve has failed");
  process.stdout.write("\n./spool is unmounted, ./spool-store is closed\n");
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`make run: ${reasonOf(error)}\n`);
  process.exitCode = EXIT_FAILED;
}
