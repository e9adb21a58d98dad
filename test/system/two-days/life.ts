/**
 * A process that lives through days of a mail site by a clock of its own, with a whole spool in it: store, files, hints,
 * deliveries, locks, cleaning, the journal of a takeover. Each simulated hour it tells what memory it uses and what its
 * store takes, in a line of JSON; at the end it checks everything.
 *
 *     node --expose-gc life.js '{"directory": ..., "seed": 1, ...}'
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { backup } from "../../../fs/backup/backup.ts";
import { Spool } from "../../../fs/spool.ts";
import { checkStore } from "../../../fs/store/check.ts";
import { Store } from "../../../fs/store/store.ts";
import { TakeoverJournal } from "../../../fs/takeover/journal.ts";
import { MemoryJournal } from "../../../fs/takeover/memory-journal.ts";
import { ROOT } from "../../files-harness.ts";
import { Random } from "../../reclaim-model.ts";
import { SimulatedClock } from "./clock.ts";
import type { Memory } from "./memory.ts";
import { lookAtMemory } from "./memory.ts";
import { Programs } from "./programs.ts";
import type { SiteOptions, Witness } from "./site.ts";
import { HOUR, MINUTE, Site } from "./site.ts";

/** Made on purpose, to see whether it would be found: what is kept of each delivery. */
export type Leak = "none" | "objects" | "buffers";

export interface LifeOptions extends SiteOptions {
  readonly directory: string;
  readonly seed: number;
  readonly hours: number;
  readonly segmentLength: number;
  readonly checkpointBytes: number;
  /** Rows of each kind that are kept in memory: few, so that they are as many as may be long before the end. */
  readonly rowsMax: number;
  /** A simulated hour and each delivery take at least so long: cleaning is paced by the time of the machine. */
  readonly hourMsMin: number;
  readonly deliveryMsMin: number;
  readonly leak: Leak;
}

export interface Sample extends Memory {
  readonly kind: "sample";
  readonly hour: number;
  readonly deliveries: number;
  readonly logBytes: number;
  readonly logBytesMax: number;
  /** The greatest part of its bound that the log took in this hour. */
  readonly boundPart: number;
}

export interface End {
  readonly kind: "end";
  readonly counts: Site["counts"];
  readonly backups: number;
  readonly bytesFreed: number;
  readonly bytesWritten: number;
  readonly left: {
    readonly pending: number;
    readonly unlinkedBytes: number;
    readonly deletedOpenBytes: number;
    readonly cutOffBytes: number;
  };
  /** Of fsck, and of what mailboxes hold after the store was opened again. */
  readonly problems: readonly string[];
}

/** A Sunday, 0:00 UTC: hours of the clock are those of the day. */
const START_MS = Date.UTC(2026, 0, 4);
const BACKUP_HOUR = 3;
const COMPARED_EACH_HOUR = 5;
/** Of the minute of a machine that is sixty times as long. */
const CLEANING_MS_MAX = 1_000;
const CLEANING_PAUSE_MS = 5;

function tell(line: Sample | End): void {
  fs.writeSync(1, `${JSON.stringify(line)}\n`);
}

function openUnnamed(directory: string, name: string): number {
  const path = join(directory, name);
  const descriptor = fs.openSync(path, "wx+", 0o600);
  fs.unlinkSync(path);
  return descriptor;
}

const kept: object[] = [];

function witnessOf(leak: Leak): Witness {
  if (leak === "none") return () => {};
  if (leak === "buffers") return (_fields, body) => kept.push(Buffer.from(body));
  return (fields, _body, reply) => {
    kept.push({ ...reply, fields: structuredClone(fields), text: JSON.stringify(fields) });
  };
}

class Life {
  readonly #options: LifeOptions;
  readonly #clock = new SimulatedClock(START_MS);
  readonly #store: string;
  readonly #journal: TakeoverJournal;
  #spool!: Spool;
  #site!: Site;
  #boundPart = 0;
  #backups = 0;

  constructor(options: LifeOptions) {
    this.#options = options;
    this.#store = join(options.directory, "store");
    const { directory } = options;
    const memory = new MemoryJournal([openUnnamed(directory, "a"), openUnnamed(directory, "b")]);
    this.#journal = new TakeoverJournal(memory, START_MS / 1000, () => this.#clock.nowMs);
  }

  async #open(create: boolean): Promise<Spool> {
    const { segmentLength, checkpointBytes, rowsMax } = this.#options;
    const cacheLimits = {
      inodesMax: rowsMax,
      rowBytesMax: rowsMax * 1024,
      dentriesMax: rowsMax,
      unitsMax: rowsMax,
      nodesMax: rowsMax,
    };
    return Spool.open(this.#store, {
      create,
      now: this.#clock.now,
      every: this.#clock.every,
      segmentLength,
      openStore: (directory, options) =>
        Store.open(directory, { ...options, checkpointBytes, cacheLimits }),
      ...(create ? { takeover: { device: -1, journal: this.#journal, inherited: undefined } } : {}),
    });
  }

  async live(): Promise<void> {
    const { hours, seed, leak } = this.#options;
    this.#spool = await this.#open(true);
    const programs = new Programs(this.#spool, this.#journal);
    const random = new Random(seed);
    this.#site = new Site(programs, this.#clock, random, this.#options, witnessOf(leak));
    await this.#site.begin();
    for (let hour = 1; hour <= hours; hour++) {
      await this.#hour(hour);
      for (let k = 0; k < COMPARED_EACH_HOUR; k++) {
        const mailbox = random.pick(this.#site.mailboxes)!;
        if (!mailbox.isBusy) await this.#site.compare(mailbox);
      }
      if (hour % 24 === BACKUP_HOUR) await this.#backup();
      await this.#sample(hour);
    }
    await this.#end();
  }

  async #hour(hour: number): Promise<void> {
    const { hourMsMin, deliveryMsMin } = this.#options;
    const { counts } = this.#site;
    let endMs = performance.now();
    this.#boundPart = 0;
    for (let minute = 1; minute <= 60; minute++) {
      const before = counts.deliveries;
      await this.#clock.runTo(START_MS + (hour - 1) * HOUR + minute * MINUTE);
      this.#boundPart = Math.max(this.#boundPart, await this.#partOfBound());
      endMs += hourMsMin / 60 + deliveryMsMin * (counts.deliveries - before);
      const early = endMs - performance.now();
      if (early > 1) await sleep(early);
    }
  }

  /** What was deleted in this minute has lowered the bound, and cleaning has had no part of the minute yet. */
  async #partOfBound(): Promise<number> {
    const end = performance.now() + CLEANING_MS_MAX;
    for (;;) {
      const { logBytes, logBytesMax } = this.#spool.store.reclaimer.status();
      if (logBytes <= logBytesMax || performance.now() > end) return logBytes / logBytesMax;
      await sleep(CLEANING_PAUSE_MS);
    }
  }

  async #backup(): Promise<void> {
    await backup(this.#store, join(this.#options.directory, "backups"), { keep: 1 });
    this.#backups++;
  }

  async #sample(hour: number): Promise<void> {
    const memory = await lookAtMemory();
    const { logBytes, logBytesMax } = this.#spool.store.reclaimer.status();
    const { deliveries } = this.#site.counts;
    const boundPart = this.#boundPart;
    tell({ kind: "sample", hour, deliveries, ...memory, logBytes, logBytesMax, boundPart });
  }

  async #end(): Promise<void> {
    const { store } = this.#spool;
    await this.#site.end();
    const { pendingBytes, unlinkedBytes, deletedOpenBytes, cutOffBytes } = store.spaceUse();
    const left = { pending: pendingBytes, unlinkedBytes, deletedOpenBytes, cutOffBytes };
    const { bytesFreed, logBytes } = store.reclaimer.status();
    await this.#spool.close();
    const checked = await checkStore(this.#store);
    const problems = [...checked.problems, ...(await this.#heldAgain())];
    tell({
      kind: "end",
      counts: this.#site.counts,
      backups: this.#backups,
      bytesFreed,
      bytesWritten: bytesFreed + logBytes,
      left,
      problems,
    });
  }

  /** What mailboxes hold wrongly after a start. */
  async #heldAgain(): Promise<string[]> {
    const spool = await this.#open(false);
    const found: string[] = [];
    for (const mailbox of this.#site.mailboxes) {
      const inode = spool.store.named(ROOT, mailbox.name);
      const bytes = inode && spool.store.read(inode.ino, 0, inode.size);
      if (!mailbox.bytes().equals(bytes ?? Buffer.alloc(0))) {
        found.push(`${mailbox.name} does not hold its ${mailbox.messages.length} messages`);
      }
    }
    await spool.close();
    return found;
  }
}

await new Life(JSON.parse(process.argv[2] as string) as LifeOptions).live();
