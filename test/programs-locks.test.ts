/**
 * Programs of the system rewrite a mailbox, or append to it, and mail is delivered to it: each is held while it has
 * its lock, and every message gets its 250 meanwhile. It shows afterwards, behind what the program has written.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { onespool } from "./cli-process.ts";
import type { TestContext } from "./suite/run.ts";
import { missingProgram, outputOf, prepared, environmentOf } from "./system/command.ts";
import { LockSite } from "./system/lock-site.ts";
import { MailUsers, type MailUser } from "./system/mail-users.ts";
import { missingForServer } from "./system/mail-server.ts";
import { Mutt } from "./system/mutt.ts";
import { mailText } from "./system/numbered-mail.ts";
import { sourcePath } from "./system/source.ts";
import { missingForStops, processesOf, StoppedProgram } from "./system/stopped.ts";

const timeout = 120_000;
t.setTimeout(2 * timeout);
const skip = missingForServer();

const before = Array.from({ length: 12 }, (_, i) => `before-${i}`);
const kept = before.slice(5);

/** A program that is told what to do line by line, and says a line after each step. */
class Stepped {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(command: readonly string[], user: MailUser, place: { varMail?: string }) {
    const options = { user: user.name, ...place };
    const [program, ...args] = prepared(command, options);
    const env = environmentOf(options);
    this.#child = spawn(program!, args, { cwd: "/", env, stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdin!.on("error", () => undefined);
    this.#reader = createInterface({ input: this.#child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async step(line: string): Promise<string | undefined> {
    this.#child.stdin!.write(`${line}\n`);
    return this.says();
  }

  async says(): Promise<string | undefined> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 30_000);
    const next = await this.#lines.next();
    clearTimeout(timer);
    return next.done === true ? undefined : next.value;
  }

  /** Its input ends; resolves with its exit code. */
  async ended(input = ""): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null)
      return this.#child.exitCode;
    const exited = once(this.#child, "exit");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 30_000);
    this.#child.stdin!.end(input);
    await exited;
    clearTimeout(timer);
    return this.#child.exitCode;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

await t.test("mail programs", skip === undefined ? {} : { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "onespool-locks-"));
  chmodSync(directory, 0o755);
  const users = MailUsers.make(1, directory);
  t.teardown(() => {
    users.remove();
    rmSync(directory, { recursive: true, force: true });
  });
  const user = users.users[0]!;
  const site = await LockSite.start(t, user);
  let boxes = 0;

  const newBox = async (): Promise<{ box: string; path: string }> => {
    const box = `user${++boxes}`;
    await site.fill(box, before);
    return { box, path: site.path(box) };
  };
  const stepped = (
    t: TestContext,
    command: readonly string[],
    place: { varMail?: string } = {},
  ): Stepped => {
    const program = new Stepped(command, user, place);
    t.teardown(() => program.kill());
    return program;
  };
  const needs = (...programs: string[]): { timeout: number; skip?: string } => {
    const reason = missingProgram(...programs);
    return reason === undefined ? { timeout } : { timeout, skip: reason };
  };
  const needsStops = (...programs: string[]): { timeout: number; skip?: string } => {
    const reason = missingForStops();
    return reason === undefined ? needs(...programs) : { timeout, skip: reason };
  };
  const rewriter = (t: TestContext, path: string): Stepped =>
    stepped(t, ["python3", "-S", "-E", sourcePath("test/system/rewriter.py"), path]);

  /** Runs a program that appends what it reads to a mailbox, held after its first write; mail comes meanwhile. */
  const appended = async (t: TestContext, box: string, command: string[]): Promise<string[]> => {
    const path = site.path(box);
    // procmail makes a mailbox in /var/mail, whatever its own is.
    const place = { varMail: site.server.mount };
    const child = stepped(t, ["sh", "-c", 'read go && exec "$@"', "sh", ...command], place);
    const program = await StoppedProgram.prepare(child.pid, { call: "write", when: 1, path });
    t.teardown(() => program.end());
    const ended = child.ended(`go\n${mailText({ id: "appended", lines: 500 })}`);
    await program.stopped();
    const late = await site.deliverUnderLock(t, box);
    t.ok(program.isStopped);
    program.resume();
    t.equal(await ended, 0);
    return late;
  };

  await t.test("Python's mailbox renames a new file over the old", needs("python3"), async (t) => {
    const { box, path } = await newBox();
    const program = rewriter(t, path);
    t.equal(await program.step("lock"), "ok");
    const first = await site.deliverUnderLock(t, box, "-first");
    for (const id of before.slice(0, 5)) t.equal(await program.step(`remove ${id}`), "ok");
    await program.step("pause");
    t.equal(await program.step("flush"), "written", "the new file has no name yet");
    const second = await site.deliverUnderLock(t, box, "-second");
    const { ino } = await site.root.stat(path);
    t.equal(await program.step(""), "ok");
    t.not((await site.root.stat(path)).ino, ino);
    const third = await site.deliverUnderLock(t, box, "-third");
    t.strictSame(await site.ids(box), kept);
    t.equal(await program.step("unlock"), "ok");
    await site.shows(t, box, [...kept, ...first, ...second, ...third]);
    t.equal(await program.ended(), 0);
  });

  await t.test("mutt writes the rest of the mailbox again", needsStops("mutt"), async (t) => {
    const { box, path } = await newBox();
    const { mutt, program } = await muttHeld(t, path, user);
    const late = await site.deliverUnderLock(t, box);
    t.ok(program.isStopped);
    t.ok(await site.root.exists(`${path}.lock`));
    program.resume();
    await mutt.status({ messages: kept.length + late.length });
    await mutt.quit();
    await site.shows(t, box, [...kept, ...late]);
  });

  await t.test("mutt removes a mailbox that it has emptied", needsStops("mutt"), async (t) => {
    const { box, path } = await newBox();
    const mutt = Mutt.start({ mailbox: path, lines: ["unset save_empty"] }, { user: user.name });
    t.teardown(() => mutt.end());
    await mutt.status({ messages: 12 });
    mutt.type("D~A\n");
    await mutt.status({ deleted: 12 });
    // It locks and unlocks the mailbox to empty it, and locks it once more to see whether it is still empty.
    const point = { call: "fcntl", when: 3, path };
    const program = await StoppedProgram.prepare(muttOf(path), point);
    t.teardown(() => program.end());
    const { ino } = await site.root.stat(path);
    mutt.type("q");
    await program.stopped();
    t.equal(await site.text(box), "");
    const late = await site.deliverUnderLock(t, box);
    program.resume();
    t.equal(await mutt.terminal.ended(), 0);
    await site.shows(t, box, late);
    t.not((await site.root.stat(path)).ino, ino, "it is a new one");
    const { uid, gid, mode } = await site.root.stat(path);
    t.strictSame({ uid, gid, mode }, { uid: user.uid, gid: user.gid, mode: 0o100600 });
  });

  await t.test("procmail appends a message", needsStops("procmail"), async (t) => {
    const { box, path } = await newBox();
    const late = await appended(t, box, [
      "procmail",
      "-f",
      "ann@example.org",
      "-p",
      `DEFAULT=${path}`,
      "/dev/null",
    ]);
    await site.shows(t, box, [...before, "appended", ...late]);
  });

  await t.test(
    "s-nail empties the mailbox and writes it again",
    needsStops("s-nail"),
    async (t) => {
      const { box, path } = await newBox();
      const command = ["s-nail", "-n", "-f", path];
      const child = stepped(t, ["sh", "-c", 'read go && exec "$@"', "sh", ...command]);
      const program = await StoppedProgram.prepare(child.pid, { call: "write", when: 2, path });
      t.teardown(() => program.end());
      const ended = child.ended("go\ndelete 1-5\nquit\n");
      await program.stopped();
      const late = await site.deliverUnderLock(t, box);
      t.ok(program.isStopped);
      program.resume();
      t.equal(await ended, 0);
      await site.shows(t, box, [...kept, ...late]);
    },
  );

  await t.test("lockfile, formail and mv rewrite it", needs("lockfile", "formail"), async (t) => {
    const { box, path } = await newBox();
    const script = `
      lockfile -r 5 "$1.lock" && formail -I "X-Filtered: yes" -s <"$1" >"$1.new" && echo written
      read go; mv "$1.new" "$1"; echo moved
      read go; rm -f "$1.lock"; echo unlocked`;
    const program = stepped(t, ["sh", "-c", script, "sh", path]);
    t.equal(await program.says(), "written");
    const first = await site.deliverUnderLock(t, box, "-first");
    t.equal(await program.step("go"), "moved");
    const second = await site.deliverUnderLock(t, box, "-second");
    t.equal(await program.step("go"), "unlocked");
    await site.shows(t, box, [...before, ...first, ...second]);
    t.equal((await site.text(box)).match(/^X-Filtered: yes$/gm)?.length, before.length);
  });

  const dotlocks = {
    mutt_dotlock: { lock: ["mutt_dotlock", "-r1"], unlock: ["mutt_dotlock", "-u"], suffix: "" },
    lockfile: { lock: ["lockfile", "-r5"], unlock: ["rm", "-f"], suffix: ".lock" },
  };
  for (const [name, { lock, unlock, suffix }] of Object.entries(dotlocks)) {
    await t.test(`the dotlock of ${name}`, needs(name), async (t) => {
      const { box, path } = await newBox();
      const as = { user: user.name };
      await outputOf([...lock, `${path}${suffix}`], as);
      const first = await site.deliverUnderLock(t, box, "-first");
      await outputOf([...unlock, `${path}${suffix}`], as);
      await site.shows(t, box, [...before, ...first]);

      await outputOf([...lock, `${path}${suffix}`], as);
      const second = await site.deliverUnderLock(t, box, "-second");
      const old = Math.floor(Date.now() / 1_000) - 601;
      await site.root.call("utimensat", `${path}.lock`, [old, 0], [old, 0]);
      await site.shows(t, box, [...before, ...first, ...second]);
      t.ok(await site.root.exists(`${path}.lock`), "who made it has forgotten it");
    });
  }

  await t.test("the spool is killed while Python has a new file", needs("python3"), async (t) => {
    const { box, path } = await newBox();
    const program = rewriter(t, path);
    t.equal(await program.step("lock"), "ok");
    t.equal(await program.step(`remove ${before[0]!}`), "ok");
    await program.step("pause");
    t.equal(await program.step("flush"), "written");
    const late = await site.deliverUnderLock(t, box);
    await site.killSpool();
    t.equal(await site.pending(), late.length);
    t.equal(await program.step(""), "ok", "the path leads into the mount that is there now");
    t.strictSame(await site.ids(box), before.slice(1));
    t.equal(await program.step("unlock"), "ok");
    await site.shows(t, box, [...before.slice(1), ...late]);
  });

  await t.test("the spool is killed while mutt writes", needsStops("mutt"), async (t) => {
    const { box, path } = await newBox();
    const { mutt, program } = await muttHeld(t, path, user);
    const late = await site.deliverUnderLock(t, box);
    await site.killSpool();
    t.equal(await site.pending(), late.length, "its locks hold");
    program.resume();
    await mutt.status({ messages: kept.length + late.length });
    await site.shows(t, box, [...kept, ...late]);
    t.notOk(await site.root.exists(`${path}.lock`), "mutt has removed its dotlock");
    await mutt.quit();
  });

  await t.test("nothing is wrong in the store", async (t) => {
    t.equal(await site.server.stop(), 0);
    const { code, stdout } = await onespool("fsck", site.server.path("store"));
    t.equal(code, 0, stdout);
  });
});

function muttOf(path: string): number {
  const [pid] = processesOf("mutt", path);
  if (pid === undefined) throw new Error("mutt does not run");
  return pid;
}

/** mutt that has deleted five of the messages and stands still with some of the rest written. */
async function muttHeld(
  t: TestContext,
  path: string,
  user: MailUser,
): Promise<{ mutt: Mutt; program: StoppedProgram }> {
  const lines = [`set tmpdir=${user.home}`];
  const mutt = Mutt.start({ mailbox: path, lines }, { user: user.name });
  t.teardown(() => mutt.end());
  await mutt.status({ messages: 12 });
  mutt.type("D~s before-[0-4]$\n");
  await mutt.status({ deleted: 5 });
  const program = await StoppedProgram.prepare(muttOf(path), { call: "write", when: 2, path });
  t.teardown(() => program.end());
  mutt.type("$");
  await program.stopped();
  return { mutt, program };
}
