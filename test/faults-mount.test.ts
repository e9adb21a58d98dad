/**
 * The disk fails below a mounted spool, with real programs on it, and then the power goes. What failed was told to the
 * program that asked; what was acknowledged is there; mailboxes that are whole can be read meanwhile; and when
 * the fault ends, service comes back by itself.
 */
import { constants } from "node:fs";
import t, { type Test } from "tap";
import { run } from "./kernel-mounted.ts";
import { refuses } from "./suite/expect.ts";
import type { CallError, Program } from "./suite/program.ts";
import { FaultyMount } from "./system/faulty-mount.ts";
import type { FaultyCall } from "./system/faulty-disk.ts";
import { eventually, needs } from "./system/harness.ts";
import type { HintClient } from "./system/hints.ts";

const timeout = 240_000;
t.setTimeout(timeout);
const options = needs("kernel", timeout);

const { O_APPEND, O_CREAT, O_WRONLY, O_SYNC } = constants;
const SYNCING: readonly FaultyCall[] = ["sync", "syncDirectory"];
const WRITING: readonly FaultyCall[] = ["write", "truncate", "rename"];
const CHANGING: readonly FaultyCall[] = [...WRITING, ...SYNCING];
const OLD = "From a\n\nan old mail\n".repeat(3000);

/** Lines, of which no two are the same, and what programs were told of them. */
class Ledger {
  readonly #lines = new Map<
    string,
    { durable: Set<string>; answered: Set<string>; unknown: Set<string> }
  >();
  #number = 0;

  line(): string {
    return `line ${++this.#number} ${"x".repeat((this.#number * 37) % 500)}\n`;
  }

  note(name: string, line: string, what: "durable" | "answered" | "unknown"): void {
    const none = () => ({
      durable: new Set<string>(),
      answered: new Set<string>(),
      unknown: new Set<string>(),
    });
    const lines = this.#lines.get(name) ?? none();
    this.#lines.set(name, lines);
    lines[what].add(line);
  }

  /** Everything answered to this file is durable. */
  synced(name: string): void {
    const { durable, answered } = this.#lines.get(name)!;
    for (const line of answered) durable.add(line);
  }

  /** What was acknowledged is there, what was refused is not, and nothing twice. */
  async check(t: Test, mount: FaultyMount, program: Program, when: string): Promise<void> {
    for (const [name, { durable, answered, unknown }] of this.#lines) {
      const text = await program.text(mount.path(name));
      const found = text.split(/(?<=\n)/);
      const missing = [...durable].filter((line) => !found.includes(line));
      t.same(missing, [], `${when}: ${name} has what was acknowledged`);
      const strange = found.filter(
        (line) => ![durable, answered, unknown].some((set) => set.has(line)),
      );
      t.same(strange, [], `${when}: ${name} has nothing that was refused`);
      t.equal(new Set(found).size, found.length, `${when}: ${name} has nothing twice`);
    }
  }
}

class Users {
  readonly mount: FaultyMount;
  readonly ledger: Ledger;
  readonly program: Program;
  readonly refusals = new Map<string, string[]>();
  #hints!: HintClient;
  #appending!: number;
  #syncing!: number;

  constructor(mount: FaultyMount, ledger: Ledger) {
    this.mount = mount;
    this.ledger = ledger;
    this.program = mount.program();
  }

  async open(): Promise<this> {
    const { mount, program } = this;
    this.#hints = await mount.hints(program);
    this.#appending = await program.open(mount.path("appended"), O_WRONLY | O_CREAT | O_APPEND);
    this.#syncing = await program.open(
      mount.path("synced"),
      O_WRONLY | O_CREAT | O_APPEND | O_SYNC,
    );
    return this;
  }

  /** Each kind of program once. Returns whether all of them were told that all is well. */
  async round(): Promise<boolean> {
    const said = [await this.append(), await this.writeSynced(), await this.deliver()];
    return said.every((one) => one);
  }

  /** write(2), and then fsync(2) of what was taken. */
  async append(): Promise<boolean> {
    const { ledger, program } = this;
    const line = ledger.line();
    if (!(await this.#told("write", program.write(this.#appending, line)))) return false;
    ledger.note("appended", line, "answered");
    if (!(await this.#told("fsync", program.call("os.fsync", this.#appending)))) return false;
    ledger.synced("appended");
    return true;
  }

  async writeSynced(): Promise<boolean> {
    const line = this.ledger.line();
    const isTaken = await this.#told("O_SYNC write", this.program.write(this.#syncing, line));
    // Of a write that failed it is not known how far it came.
    this.ledger.note("synced", line, isTaken ? "durable" : "unknown");
    return isTaken;
  }

  async deliver(): Promise<boolean> {
    const line = this.ledger.line();
    const boxes = ["ann", "bob"].map((path) => ({ path, create: { mode: 0o600 } }));
    const reply = await this.#hints.deliver(Buffer.from(line), boxes);
    if (!reply.ok) this.#refused("deliver", String(reply.error));
    // One that was refused with ENOSPC has changed nothing; of EIO nobody knows (docs/HINTS.md).
    if (!reply.ok && reply.error !== "EIO") return false;
    for (const { path } of boxes) this.ledger.note(path, line, reply.ok ? "durable" : "unknown");
    return reply.ok;
  }

  async #told(what: string, call: Promise<unknown>): Promise<boolean> {
    try {
      await call;
      return true;
    } catch (error) {
      this.#refused(what, (error as CallError).code);
      return false;
    }
  }

  #refused(what: string, code: string): void {
    this.refusals.set(what, [...(this.refusals.get(what) ?? []), code]);
  }
}

async function restart(
  mount: FaultyMount,
  choice: "killed" | "dropped" | "reordered",
): Promise<unknown> {
  await mount.endPrograms();
  return mount.tell({ do: "restart", choice });
}

async function expectSound(t: Test, mount: FaultyMount): Promise<void> {
  await mount.endPrograms();
  t.same(await mount.tell({ do: "end" }), [], "fsck is clean, and nothing was synced in vain");
}

// A write without room is refused, and that is all. Behind a sync that failed, whatever it said, it is not known what is
// durable: that is EIO.
for (const [what, calls, code, told] of [
  ["all that changes the disk fails", CHANGING, "EIO", "EIO"],
  ["all writes fail", WRITING, "ENOSPC", "ENOSPC"],
  ["all syncs fail", SYNCING, "ENOSPC", "EIO"],
] as const) {
  const message = told === "EIO" ? /Input\/output error/ : /No space left on device/;

  t.test(`${what} with ${code} for a while`, options, async (t) => {
    const mount = await FaultyMount.open(t);
    const ledger = new Ledger();
    const users = await new Users(mount, ledger).open();
    await users.program.writeFile(mount.path("old"), OLD);
    for (let k = 0; k < 3; k++) t.ok(await users.round());
    const line = ledger.line();
    const late = await users.program.open(mount.path("appended"), O_WRONLY | O_APPEND);
    await users.program.write(late, line);
    ledger.note("appended", line, "answered");

    await mount.tell({ do: "fail", calls, code });
    for (let k = 0; k < 4; k++) {
      await users.round();
      t.equal(await users.program.text(mount.path("old")), OLD, "what is whole can be read");
    }
    if (told === "EIO") await refuses(users.program.call("os.fsync", late), "EIO");
    const dd = `dd if=/dev/zero of=${mount.path("dd")} bs=64k count=4 conv=fsync`;
    const ran = await run(["sh", "-c", dd]);
    t.not(ran.code, 0, "dd says that it failed");
    t.match(ran.errors, message);
    for (const [what, codes] of users.refusals) {
      t.same([...new Set(codes)], [told], `${what} is refused with ${told}`);
    }
    t.ok(users.refusals.has("write") || users.refusals.has("fsync"), "appending was refused");
    t.ok(users.refusals.has("O_SYNC write"));
    t.ok(users.refusals.has("deliver"));

    t.ok(Number(await mount.tell({ do: "heal" })) > 0, "calls have failed");
    await eventually("it comes back by itself", () => users.round());
    await ledger.check(t, mount, users.program, "afterwards");
    await users.append();
    t.equal(await restart(mount, "dropped"), "started");
    const again = await new Users(mount, ledger).open();
    await ledger.check(t, mount, again.program, "after a power cut");
    t.equal(await again.program.text(mount.path("old")), OLD);
    t.ok(await again.round());
    await ledger.check(t, mount, again.program, "at the end");
    await expectSound(t, mount);
  });
}

t.test("the power goes while the disk fails", options, async (t) => {
  for (const choice of ["dropped", "reordered", "killed"] as const) {
    const mount = await FaultyMount.open(t);
    const ledger = new Ledger();
    const users = await new Users(mount, ledger).open();
    for (let k = 0; k < 3; k++) t.ok(await users.round());
    await mount.tell({ do: "fail", calls: CHANGING, code: "EIO" });
    for (let k = 0; k < 3; k++) await users.round();
    await mount.tell({ do: "heal" });
    t.equal(await restart(mount, choice), "started");
    const again = await new Users(mount, ledger).open();
    await ledger.check(t, mount, again.program, choice);
    await expectSound(t, mount);
  }
});

t.test("a sync that fails once is not noticed: the log goes on elsewhere", options, async (t) => {
  const mount = await FaultyMount.open(t);
  const ledger = new Ledger();
  const users = await new Users(mount, ledger).open();
  for (let k = 0; k < 6; k++) {
    await mount.tell({ do: "fail", calls: ["sync"], code: "EIO", count: 1 });
    t.ok(await users.round());
    t.equal(await mount.tell({ do: "heal" }), 1);
  }
  t.same([...users.refusals], []);
  t.match(mount.warnings, /the log goes on in segment/, "the administrator hears of it");
  t.equal(await restart(mount, "dropped"), "started");
  const again = await new Users(mount, ledger).open();
  await ledger.check(t, mount, again.program, "after a power cut");
  await expectSound(t, mount);
});

t.test(
  "a start that cannot sync the end of the log says so, and the next one works",
  options,
  async (t) => {
    const mount = await FaultyMount.open(t);
    const ledger = new Ledger();
    const users = await new Users(mount, ledger).open();
    for (let k = 0; k < 3; k++) t.ok(await users.round());
    await mount.tell({ do: "fail", calls: ["sync"], code: "EIO" });
    const said = String(await restart(mount, "killed"));
    t.match(said, /EIO/, said);
    t.match(said, /\/srv\/spool\/store\/log\/00000001\.seg/, "where");
    t.match(said, /nothing is lost/i, "what it means");
    t.equal(await restart(mount, "dropped"), said, "it says so again, as long as the disk fails");
    await mount.tell({ do: "heal" });
    t.equal(await restart(mount, "dropped"), "started");
    const again = await new Users(mount, ledger).open();
    await ledger.check(t, mount, again.program, "at the next start");
    await expectSound(t, mount);
  },
);
