/** A mailbox through Dovecot's IMAP, on the mount and as a plain file. */
import { chownSync, mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { missingDovecot } from "../../test/system/dovecot.ts";
import type { WriteCounts } from "../../test/system/write-counter.ts";
import { Writes } from "../../test/system/writes.ts";
import { run } from "../children.ts";
import { formatNumber, median, type Figure } from "../figures.ts";
import { SAYS, STEPS, totalMs, type Session, type Step } from "../imap/session.ts";
import { OWNER, Side } from "../imap/side.ts";
import { syncDisk } from "../machine.ts";
import type { SpoolProcess } from "../spool-process.ts";
import { inTurn } from "../turns.ts";
import { progress, type Workspace } from "../workspace.ts";

const ROW = "imap";
const STORE = "imap-store";
const PLAIN = "imap-plain";
const COUNTED = "counted";
const WARM_UP = "warmup";
const FILL_MS_MAX = 1_200_000;
const COPY_MS_MAX = 600_000;
const TOTAL_RATIO_MAX = 2.5;
const STEP_RATIO_MAX = 5;
/** A step that is quicker than this as a plain file is not noticed five times as slow. */
const STEP_MS_MIN = 100;

export const imapRow = {
  name: ROW,
  says: "a mailbox of real messages through Dovecot: select, fetch, flag, expunge, close",
  measure,
};

type Counts = Readonly<Record<Step, WriteCounts>>;

async function measure(workspace: Workspace): Promise<Figure[]> {
  const missing = missingDovecot();
  if (missing !== undefined) throw new Error(missing);
  const mailboxes = Array.from({ length: workspace.options.runs }, (_, index) => `run${index + 1}`);
  const counts = await build(workspace, [COUNTED, WARM_UP, ...mailboxes]);
  const bytes = statSync(join(workspace.path(PLAIN), WARM_UP)).size;

  // Another process than the one that counted: counting costs the figures nothing.
  const spool = await workspace.mount(STORE);
  const sides = {
    spool: await Side.start(workspace, spool.mountpoint, "imap-spool.indexes"),
    plain: await Side.start(workspace, workspace.path(PLAIN), "imap-plain.indexes"),
  };
  const sessions: Record<keyof typeof sides, Session[]> = { spool: [], plain: [] };
  const use = async (name: keyof typeof sides, mailbox: string): Promise<Session> => {
    // Neither side pays for what the other left unwritten.
    await spool.settle();
    syncDisk(workspace.directory);
    const session = await sides[name].use(mailbox);
    progress(`${ROW} ${name}: ${mailbox}: ${describeSession(session)}`);
    return session;
  };
  await compare(await use("plain", WARM_UP), await use("spool", WARM_UP), sides, WARM_UP);
  const one = async (name: keyof typeof sides): Promise<number> => {
    const session = await use(name, mailboxes[sessions[name].length]!);
    sessions[name].push(session);
    return totalMs(session);
  };
  await inTurn(workspace.options.runs, { plain: () => one("plain"), spool: () => one("spool") });
  for (const [index, mailbox] of mailboxes.entries()) {
    await compare(sessions.plain[index]!, sessions.spool[index]!, sides, mailbox);
  }
  for (const side of Object.values(sides)) await side.stop();
  await spool.unmount();
  for (const name of [STORE, `${STORE}.mnt`, PLAIN, "imap-spool.indexes", "imap-plain.indexes"]) {
    workspace.remove(name);
  }
  return figures(workspace, sessions, counts, bytes);
}

/**
 * Makes the store and its plain copies. Then one mailbox is used on the mount to count the WRITEs of each step: how many
 * they are is Dovecot's doing, and the same each time.
 */
async function build(workspace: Workspace, mailboxes: readonly string[]): Promise<Counts> {
  const counter = new Writes(workspace.directory);
  try {
    const spool = await workspace.mount(STORE);
    await fill(workspace, spool, mailboxes);
    const plain = workspace.path(PLAIN);
    mkdirSync(plain);
    chownSync(plain, OWNER, OWNER);
    const files = mailboxes.filter((name) => name !== COUNTED);
    const paths = files.map((name) => join(spool.mountpoint, name));
    await run("cp", ["--preserve=mode,ownership,timestamps", ...paths, plain], COPY_MS_MAX);
    const counts = await countWrites(workspace, spool, counter);
    await spool.unmount();
    return counts;
  } finally {
    counter.end();
  }
}

async function fill(
  workspace: Workspace,
  { mountpoint }: SpoolProcess,
  mailboxes: readonly string[],
): Promise<void> {
  const messages = workspace.sizes.imapMessages;
  // Dovecot makes its lock files beside the mailboxes.
  await run("chown", [`${OWNER}:${OWNER}`, mountpoint], 20_000);
  progress(`${ROW}: delivering ${messages} messages, each into ${mailboxes.length} mailboxes`);
  const program = join(dirname(fileURLToPath(import.meta.url)), "..", "imap", "fill.js");
  const argv = [program, mountpoint, `${messages}`, `${OWNER}`, ...mailboxes];
  const said = await run(process.execPath, argv, FILL_MS_MAX);
  const { distinct } = JSON.parse(said) as { distinct: number };
  progress(`${ROW}: ${distinct} different messages`);
}

async function countWrites(
  workspace: Workspace,
  { pid, mountpoint }: SpoolProcess,
  counter: Writes,
): Promise<Counts> {
  const none = { writes: 0, bytes: 0 };
  const counts = { select: none, fetch: none, flag: none, expunge: none, close: none };
  const side = await Side.start(workspace, mountpoint, "imap-counted.indexes");
  let before = await counter.of(pid);
  await side.use(COUNTED, async (step) => {
    const now = await counter.of(pid);
    counts[step] = { writes: now.writes - before.writes, bytes: now.bytes - before.bytes };
    before = now;
  });
  await side.stop();
  workspace.remove("imap-counted.indexes");
  return counts;
}

/** Throws when the two sides did not fetch the same, or left different mailboxes behind. */
async function compare(
  plain: Session,
  spool: Session,
  sides: Readonly<Record<"plain" | "spool", Side>>,
  mailbox: string,
): Promise<void> {
  if (plain.fetchedBytes !== spool.fetchedBytes) {
    const ofPlain = `${plain.fetchedBytes} bytes fetched from the plain file`;
    throw new Error(`${mailbox}: ${ofPlain}, ${spool.fetchedBytes} from the mount`);
  }
  if ((await sides.plain.digest(mailbox)) !== (await sides.spool.digest(mailbox))) {
    throw new Error(`${mailbox} is not the same on the mount and as a plain file afterwards`);
  }
}

function figures(
  { sizes }: Workspace,
  sessions: Readonly<Record<"spool" | "plain", readonly Session[]>>,
  counts: Counts,
  mailboxBytes: number,
): Figure[] {
  const of = (side: "spool" | "plain", value: (session: Session) => number): number[] =>
    sessions[side].map(value);
  const steps = STEPS.map((step): Figure => {
    const ours = of("spool", ({ ms }) => ms[step]);
    const values = of("plain", ({ ms }) => ms[step]);
    const plain = median(values);
    return {
      row: `${ROW}, ${step}`,
      work: SAYS[step],
      unit: "ms",
      ours,
      plain: { name: "plain file", values },
      ...(plain > STEP_MS_MIN && { target: { kind: "ratio", atMost: STEP_RATIO_MAX } }),
      notes: [describeWrites(counts[step], median(ours) - plain)],
    };
  });
  const all = { writes: 0, bytes: 0 };
  for (const step of STEPS) {
    all.writes += counts[step].writes;
    all.bytes += counts[step].bytes;
  }
  const ours = of("spool", totalMs);
  const values = of("plain", totalMs);
  const mebibytes = (mailboxBytes / 2 ** 20).toFixed(1);
  const total: Figure = {
    row: `${ROW}, total`,
    work: `all steps with a mailbox of ${sizes.imapMessages} messages, ${mebibytes} MiB`,
    unit: "ms",
    ours,
    plain: { name: "plain file", values },
    target: { kind: "ratio", atMost: TOTAL_RATIO_MAX },
    notes: [describeWrites(all, median(ours) - median(values))],
  };
  return [...steps, total];
}

/** What is not spent in WRITEs is counted as theirs: each is at most so long. */
function describeWrites({ writes, bytes }: WriteCounts, moreMs: number): string {
  if (writes === 0) return "no WRITEs reach the spool";
  const whole = (value: number): string => value.toLocaleString("en-US");
  const moreUs = formatNumber((moreMs * 1000) / writes);
  const all = `${whole(writes)} WRITEs of ${whole(bytes)} bytes in all`;
  return `${all}; over the plain file's time ${moreUs} µs for each`;
}

function describeSession(session: Session): string {
  const each = STEPS.map((step) => `${step} ${formatNumber(session.ms[step])}`).join(", ");
  return `${each}; in all ${formatNumber(totalMs(session))} ms`;
}
