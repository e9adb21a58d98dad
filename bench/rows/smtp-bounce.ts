/** Good messages a second while other connections name only a user who does not exist. */
import type { Figure } from "../figures.ts";
import { Pair, workOf } from "../smtp/pair.ts";
import { inTurn } from "../turns.ts";
import type { Workspace } from "../workspace.ts";

interface Wanted {
  readonly percent: number;
  /** Of our own rate without bounces. */
  readonly ofOwn: number;
  readonly ofPlain: number;
}

const WANTED: readonly Wanted[] = [
  { percent: 25, ofOwn: 0.92, ofPlain: 1 },
  { percent: 50, ofOwn: 0.8, ofPlain: 1.1 },
  { percent: 75, ofOwn: 0.6, ofPlain: 1.2 },
];

export const smtpBounceRows = WANTED.map((wanted) => ({
  name: `smtp-bounce-${wanted.percent}`,
  says: `good messages/s when ${wanted.percent} of 100 connections bounce`,
  measure: (workspace: Workspace) => measure(workspace, wanted),
}));

async function measure(workspace: Workspace, wanted: Wanted): Promise<Figure[]> {
  const row = `smtp-bounce-${wanted.percent}`;
  const none = workOf(workspace, 1, { connections: workspace.sizes.smtpBounceConnections });
  const some = { ...none, bouncePercent: wanted.percent };
  const pair = await Pair.start(workspace, row, some);
  const rate = async (side: "spool" | "plain", work: typeof none): Promise<number> =>
    (await pair.measure(side, work)).load.messagesPerSecond;
  const values = await inTurn(workspace.options.runs, {
    none: () => rate("spool", none),
    some: () => rate("spool", some),
    plainNone: () => rate("plain", none),
    plainSome: () => rate("plain", some),
  });
  await pair.stop();
  const work = `${none.messages} good messages, 1 recipient, ${none.connections} connections, one message each, ${wanted.percent} % of the connections bounce`;
  const unit = "good messages/s";
  return [
    {
      row: `${row}, own`,
      work: `${work}, against none`,
      unit,
      ours: values.some,
      plain: { name: "none bounces", values: values.none },
      target: { kind: "ratio", atLeast: wanted.ofOwn },
    },
    {
      row,
      work,
      unit,
      ours: values.some,
      plain: { name: "plain server", values: values.plainSome },
      target: { kind: "ratio", atLeast: wanted.ofPlain },
    },
    {
      row: `${row}, plain`,
      work: `the plain server alone (as "spool"): ${work}, against none`,
      unit,
      ours: values.plainSome,
      plain: { name: "none bounces", values: values.plainNone },
    },
  ];
}
