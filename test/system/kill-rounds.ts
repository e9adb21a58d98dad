/**
 * Rounds of work, kills and looking at what is left. What a ledger says must be there: test/kill-rounds.test.ts says
 * what is excused.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../movers.ts";
import { randomFrom } from "../movers.ts";
import { eventually } from "./harness.ts";
import { ImapClient } from "./imap-client.ts";
import { sendMail, STYLES, type Attempt } from "./kill-senders.ts";
import { IMAP_BOXES, PLAIN_BOXES, type KillSite, type Victim } from "./kill-site.ts";
import { runScript } from "./scripts.ts";
import { Ledger, type Found } from "./traffic-ledger.ts";
import { hashOf, numberOf, TrafficCorpus } from "./traffic-mail.ts";
import { useMailbox, type Traffic } from "./traffic.ts";

const VICTIMS: readonly Victim[] = ["spool", "front", "worker", "supervisor", "everything"];
/** Work before the kill, and after service is back. */
const WORK_MS = [200, 1_500] as const;
const AFTER_MS = [200, 800] as const;
/** From a kill to a second one that falls into the restart. */
const AGAIN_MS_MAX = 600;
const SENDERS = 10;
const IMAP_SESSIONS = IMAP_BOXES.length;

export class Rounds {
  acknowledged = 0;
  /** What was killed last. */
  killed: readonly string[] = [];
  readonly #site: KillSite;
  readonly #problems: string[];
  readonly #corpus = new TrafficCorpus();
  readonly #ledgers = new Map<string, Ledger>();
  readonly #counts = new Map<string, number>();
  #open = 0;
  #openStored = 0;
  /** Messages of which more than one attempt is there: their clients have sent them again. */
  #again = 0;
  #messages = 0;
  #complained = 0;

  constructor(site: KillSite, problems: string[]) {
    this.#site = site;
    this.#problems = problems;
    for (const name of [...PLAIN_BOXES, ...IMAP_BOXES]) {
      this.#ledgers.set(name, new Ledger(name, problems));
    }
  }

  /** Resolves with what was done, for people. */
  async run(round: number, random: Random): Promise<string> {
    const { writers } = this.#site;
    const attempts: Attempt[] = [];
    const disturbed = new Set<string>();
    const isSameMount = await this.#site.witness();
    const brokenBefore = writers.open;
    let isOver = false;
    const imapProblems = new Map(IMAP_BOXES.map((name) => [name, [] as string[]]));
    for (const [name, problems] of imapProblems) this.#ledgers.get(name)!.tellTo(problems);
    const load = this.#load(random, attempts, disturbed, () => isOver);
    writers.go();
    await sleep(between(random, WORK_MS));
    this.killed = await this.#kill(round, random);
    const from = performance.now();
    await this.#site.back();
    const backMs = Math.round(performance.now() - from);
    await sleep(between(random, AFTER_MS));
    isOver = true;
    await writers.stop();
    await load;
    // A mount that was taken over was not there for a while, and nobody has seen an error.
    const isReplaced = !(await isSameMount());
    if (!isReplaced) {
      for (const name of disturbed) this.#problems.push(`${name}: an IMAP session failed`);
      if (writers.open > brokenBefore) this.#problems.push("a writer's call failed");
      disturbed.clear();
    }
    const dotlocks = await this.#site.removeDotlocks();
    if (dotlocks > 0) this.#count("dotlocks left");
    if (dotlocks > 0 && !isReplaced) this.#problems.push(`${dotlocks} dotlocks are left`);
    await eventually("nothing pends", () => Promise.resolve(this.#site.pending() === 0));
    const found = await this.#readAsFiles();
    const damaged: string[] = [];
    for (const [name, problems] of imapProblems) {
      await this.#checkMailbox(this.#ledgers.get(name)!, found.get(name)!, problems);
      if (problems.length === 0) continue;
      if (disturbed.has(name)) damaged.push(name);
      else this.#problems.push(...problems);
    }
    for (const name of damaged) await this.#beginAnew(name, found, imapProblems.get(name)!);
    await this.#check(attempts, found, random);
    this.#checkComplaints(isReplaced, damaged);
    return `${this.killed.join(", ")}; back in ${backMs} ms; ${attempts.length} attempts, ${disturbed.size} mailboxes cut off, ${damaged.length} damaged`;
  }

  summary(): string {
    const counts = [...this.#counts].map(([what, times]) => `${what} ${times}`).join(", ");
    const { writers, failedStarts } = this.#site;
    return `${this.#messages} messages, ${this.acknowledged} with a 250; of ${this.#open} attempts without one ${this.#openStored} are there, ${this.#again} messages twice because they were sent again; writers: ${writers.done} changes answered, ${writers.open} open; ${failedStarts} starts that failed; IMAP: ${counts}`;
  }

  async #load(
    random: Random,
    attempts: Attempt[],
    disturbed: Set<string>,
    isOver: () => boolean,
  ): Promise<void> {
    const { server, dovecot } = this.#site;
    const problems = this.#problems;
    const ledgers = [...this.#ledgers.values()];
    const sending = { server, ledgers, corpus: this.#corpus, problems, attempts, isOver };
    const imap: Traffic = {
      ...sending,
      imapPort: dovecot.ports.imap,
      counts: this.#counts,
    };
    await Promise.all([
      ...Array.from({ length: SENDERS }, (_, i) =>
        sendMail(sending, STYLES[i % STYLES.length]!, randomFrom(random() * 2 ** 31)),
      ),
      ...Array.from({ length: IMAP_SESSIONS }, (_, i) =>
        this.#useImap(imap, IMAP_BOXES[i]!, randomFrom(random() * 2 ** 31), disturbed),
      ),
    ]);
  }

  /** A session that breaks is opened again. */
  async #useImap(
    traffic: Traffic,
    name: string,
    random: Random,
    disturbed: Set<string>,
  ): Promise<void> {
    const ledger = this.#ledgers.get(name)!;
    while (!traffic.isOver()) {
      try {
        await useMailbox(traffic, random, ledger);
      } catch (error) {
        disturbed.add(name);
        this.#count("lost");
        const { message } = error as Error;
        if (/said nothing/.test(message)) this.#problems.push(`${name}: ${message}`);
        await sleep(50);
      }
    }
  }

  /** Each once; then one at random, now and then two at once, and sometimes another during the restart. */
  async #kill(round: number, random: Random): Promise<string[]> {
    const choose = (countMax: number): number => Math.floor(random() * countMax);
    const victims = [VICTIMS[round] ?? VICTIMS[choose(VICTIMS.length)]!];
    if (random() < 0.2) victims.push(VICTIMS[choose(VICTIMS.length)]!);
    const again = random() < 0.25 ? VICTIMS[choose(3)]! : undefined;
    const waitMs = random() * AGAIN_MS_MAX;
    const killed: string[] = [];
    for (const victim of victims) {
      if (await this.#site.kill(victim, choose)) killed.push(victim);
    }
    if (again !== undefined) {
      const isBack = this.#site.back();
      await sleep(waitMs);
      if (await this.#site.kill(again, choose)) {
        killed.push(`${again} after ${Math.round(waitMs)} ms`);
      }
      await isBack;
    }
    return killed;
  }

  async #check(
    attempts: readonly Attempt[],
    found: ReadonlyMap<string, readonly Found[]>,
    random: Random,
  ): Promise<void> {
    this.#checkAttempts(attempts, found);
    for (const name of PLAIN_BOXES) {
      const ledger = this.#ledgers.get(name)!;
      ledger.holds(found.get(name)!, "Python");
      ledger.settle(found.get(name)!);
    }
    if (this.#problems.length === 0) await this.#removeSome(found, random);
    await this.#site.writers.check(this.#site.program);
  }

  /** By a program that knows nothing of Dovecot. */
  async #readAsFiles(): Promise<Map<string, readonly Found[]>> {
    const { server, program } = this.#site;
    const names: string[] = [];
    for (const name of this.#ledgers.keys()) {
      if (await program.exists(`${server.mount}/${name}`)) names.push(name);
    }
    const script = runScript(
      "traffic_mail.py",
      names.map((name) => `${server.mount}/${name}`),
    );
    const { code, output, errors } = await script.ended;
    if (code !== 0) throw new Error(errors);
    const lines = output.trim().split("\n");
    const found = new Map([...this.#ledgers.keys()].map((name) => [name, [] as readonly Found[]]));
    for (const [i, name] of names.entries()) {
      const messages = JSON.parse(lines[i]!) as [number | string, string][];
      found.set(
        name,
        messages
          // Dovecot has a message of its own in front, which tells of the mailbox.
          .filter(([number]) => !String(number).includes("\nX-IMAP: "))
          .map(([number, hash]) => ({ number: Number(number), hash })),
      );
    }
    return found;
  }

  async #checkMailbox(ledger: Ledger, asFile: readonly Found[], problems: string[]): Promise<void> {
    ledger.holds(asFile, "Python");
    try {
      await this.#readByImap(ledger, problems);
    } catch (error) {
      const { dovecot } = this.#site;
      const said = dovecot.complaints.filter((line) => line.includes(`(${ledger.name})`));
      problems.push(`${ledger.name}: ${[String(error), ...said.slice(-5)].join("\n")}`);
    }
    ledger.settle(asFile);
  }

  async #readByImap(ledger: Ledger, problems: string[]): Promise<void> {
    const client = await ImapClient.login(this.#site.dovecot.ports.imap, ledger.name);
    const { untagged } = await client.must("SELECT INBOX");
    const text = untagged.map(({ line }) => line).join("\n");
    ledger.selected(/UIDVALIDITY (\d+)/.exec(text)?.[1]);
    const fetched = await client.fetch("UID FETCH 1:* (UID FLAGS BODY.PEEK[])");
    const flags: (readonly string[])[] = [];
    const found = fetched.map(({ uid, literal, flags: set }) => {
      const message = literal!.toString("latin1");
      ledger.saw(uid, message);
      flags.push(set ?? []);
      return { number: numberOf(message), hash: hashOf(message) };
    });
    const before = ledger.flagsLost;
    ledger.holds(found, "IMAP", flags);
    const lost = ledger.flagsLost - before;
    if (lost > 0) problems.push(`${ledger.name}: ${lost} flags are lost that were answered`);
    await client.logout();
  }

  /** A session was cut off in it with its mount: what is wrong now is only counted. */
  async #beginAnew(
    name: string,
    found: Map<string, readonly Found[]>,
    problems: readonly string[],
  ): Promise<void> {
    this.#count("damaged mailboxes");
    const kinds = new Set(problems.map((problem) => problem.replaceAll(/\d+/g, "n").slice(0, 80)));
    for (const kind of kinds) this.#count(`damaged: ${kind}`);
    await this.#site.removeMailbox(name);
    found.delete(name);
    this.#ledgers.set(name, new Ledger(name, this.#problems));
  }

  /** What was not acknowledged is in all of its mailboxes or in none. */
  #checkAttempts(attempts: readonly Attempt[], found: ReadonlyMap<string, readonly Found[]>): void {
    const numbers = new Map(
      [...found].map(([name, messages]) => [name, new Set(messages.map(({ number }) => number))]),
    );
    const stored = new Map<number, number>();
    for (const attempt of attempts) {
      const { mail, isAcknowledged, message } = attempt;
      const to = attempt.to.filter((ledger) => numbers.has(ledger.name) && !ledger.isDoomed(mail));
      const there = to.filter(({ name }) => numbers.get(name)!.has(mail.number));
      if (isAcknowledged) this.acknowledged++;
      else this.#open++;
      const wanted = isAcknowledged ? to.length : 0;
      if (there.length !== to.length && there.length !== wanted) {
        const names = to.filter((ledger) => !there.includes(ledger)).map(({ name }) => name);
        const what = isAcknowledged ? "acknowledged" : "not acknowledged";
        this.#problems.push(
          `message ${mail.number}, ${what}: in ${there.length} of ${to.length} mailboxes, not in ${names.slice(0, 20).join()}`,
        );
      }
      if (there.length === 0) continue;
      if (!isAcknowledged) this.#openStored++;
      stored.set(message, (stored.get(message) ?? 0) + 1);
    }
    this.#messages += new Set(attempts.map(({ message }) => message)).size;
    for (const times of stored.values()) if (times > 1) this.#again++;
  }

  /** Some mailboxes are emptied or removed: nothing of them may come back. IMAP sessions do that by themselves. */
  async #removeSome(found: ReadonlyMap<string, readonly Found[]>, random: Random): Promise<void> {
    const { server, program } = this.#site;
    for (const name of PLAIN_BOXES) {
      if (found.get(name)!.length === 0 || random() < 0.4) continue;
      const path = `${server.mount}/${name}`;
      if (random() < 0.5) await program.unlink(path);
      else await program.call("os.truncate", path, 0);
      this.#ledgers.get(name)!.cleared();
    }
  }

  #checkComplaints(isReplaced: boolean, damaged: readonly string[]): void {
    const complaints = this.#site.dovecot.complaints.slice(this.#complained);
    this.#complained += complaints.length;
    for (const line of complaints) {
      const isOfDamaged = damaged.some((name) => line.includes(`(${name})`));
      const isExcused = isReplaced && (isOfDamaged || !/corrupt/i.test(line));
      if (isExcused) this.#count("Dovecot complains");
      else this.#problems.push(`Dovecot: ${line}`);
    }
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}

function between(random: Random, [min, max]: readonly [number, number]): number {
  return min + random() * (max - min);
}
