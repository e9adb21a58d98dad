/** Messages a second through SMTP and LMTP, against the plain server, and what each delivery costs in processor time. */
import type { Figure, Target } from "../figures.ts";
import type { Work } from "../smtp/drive.ts";
import { describeProcessor, type Measured, Pair, type SideName, workOf } from "../smtp/pair.ts";
import { inTurn } from "../turns.ts";
import type { Workspace } from "../workspace.ts";

interface Row {
  readonly name: string;
  readonly recipients: number;
  readonly how: string;
  readonly differences: Partial<Work>;
  readonly ratioAtLeast?: number;
  /** Of our side: the figure is then this, and not messages/s. */
  readonly processorMsAtMost?: number;
}

const oneByOne = "one command, one reply";

const ROWS: readonly Row[] = [
  { name: "smtp-1", recipients: 1, how: "pipelined", differences: {}, ratioAtLeast: 0.85 },
  { name: "smtp-15", recipients: 15, how: "pipelined", differences: {}, ratioAtLeast: 3 },
  { name: "smtp-100", recipients: 100, how: "pipelined", differences: {}, ratioAtLeast: 6 },
  { name: "smtp-1000", recipients: 1000, how: "pipelined", differences: {}, ratioAtLeast: 7 },
  { name: "smtp-cpu", recipients: 15, how: "pipelined", differences: {}, processorMsAtMost: 0.1 },
  { name: "smtp-lmtp", recipients: 15, how: "LMTP", differences: { protocol: "lmtp" } },
  { name: "smtp-lock-step-1", recipients: 1, how: oneByOne, differences: { isPipelined: false } },
  { name: "smtp-lock-step-15", recipients: 15, how: oneByOne, differences: { isPipelined: false } },
];

export const smtpMessageRows = ROWS.map((row) => ({
  name: row.name,
  says: `messages with ${row.recipients} recipients, ${row.how}, against the plain server`,
  measure: (workspace: Workspace) => measure(workspace, row),
}));

async function measure(workspace: Workspace, row: Row): Promise<Figure[]> {
  const work = workOf(workspace, row.recipients, row.differences);
  const pair = await Pair.start(workspace, row.name, work);
  const seen: Record<SideName, Measured[]> = { spool: [], plain: [] };
  const isOfProcessor = row.processorMsAtMost !== undefined;
  const one = async (side: SideName): Promise<number> => {
    const measured = await pair.measure(side, work);
    seen[side].push(measured);
    return isOfProcessor ? measured.processorMs : measured.load.messagesPerSecond;
  };
  const values = await inTurn(workspace.options.runs, {
    spool: () => one("spool"),
    plain: () => one("plain"),
  });
  await pair.stop();
  const target = targetOf(row);
  return [
    {
      row: row.name,
      work:
        `${isOfProcessor ? "processor time for each delivery: " : ""}${work.messages} messages of ${work.messageBytes} bytes, ` +
        `${work.recipients} recipients of ${work.users} in turn, ${work.connections} connections, one message each, ${row.how}`,
      unit: isOfProcessor ? "ms" : "messages/s",
      ours: values.spool,
      plain: { name: "plain server", values: values.plain },
      ...(target === undefined ? {} : { target }),
      notes: [
        describeProcessor("the spool's side", seen.spool),
        describeProcessor("the plain server", seen.plain),
      ],
    },
  ];
}

function targetOf({ ratioAtLeast, processorMsAtMost }: Row): Target | undefined {
  if (ratioAtLeast !== undefined) return { kind: "ratio", atLeast: ratioAtLeast };
  if (processorMsAtMost !== undefined) return { kind: "value", atMost: processorMsAtMost };
  return undefined;
}
