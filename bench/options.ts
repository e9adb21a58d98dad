/** The command line of the bench and the sizes that it chooses. */
import { parseArgs } from "node:util";

export const HELP = `usage: bench [--dir DIRECTORY] [--only ROW[,ROW...]] [--runs N] [--quick] [--seed N]
             [--binding kernel|fuse-native|auto] [--json FILE] [--keep] [--list]
             [--store-gigabytes N]

  --dir DIRECTORY  where the store and the plain directory are put, side by side
                   (default: a temporary directory under the current one)
  --only ROW       only these rows; a prefix is enough (--list names them)
  --runs N         measurements of each side, in turn (default 3)
  --quick          small sizes: shows that the bench works, says nothing about speed
  --seed N         of the draw of recipients (printed; default: drawn)
  --store-gigabytes N  length of the log of the row "store" (default 1; 10 takes 11 GB and some minutes)
  --json FILE      all figures, each measurement included
  --keep           leave the stores behind
`;

/** All counts and lengths of a measurement. Printed before any number. */
export interface Sizes {
  readonly mailboxes: number;
  readonly sharedBytes: number;
  readonly privateBytes: number;
  readonly requestsAtOnce: number;
  readonly seconds: number;
  readonly writtenDeliveries: number;
  readonly readMailboxes: number;
  readonly readMailboxBytes: number;
  /** In how many of the mailboxes each message lies. */
  readonly readSharedBy: number;
  readonly readPassesWarm: number;
  readonly memoryMailboxes: number;
  readonly memoryDeliveries: number;
  readonly memorySharedBytes: number;
  readonly memoryPrivateBytes: number;
  /** In each of the mailboxes that go through Dovecot. */
  readonly imapMessages: number;
  readonly smtpConnections: number;
  readonly smtpBounceConnections: number;
  readonly smtpIdleConnections: number;
  /** Mailboxes of the mail server's rows. */
  readonly smtpUsers: number;
  readonly smtpMessageBytes: number;
  /** Of one measurement: messages with 1 recipient; with more of them it is fewer messages. */
  readonly smtpMessages: number;
  readonly smtpWrittenMessages: number;
  /** Length of the log that is proven and read again, and what a start after a death has to read of it. */
  readonly storeBytes: number;
  readonly storeLagBytes: number;
  readonly storeMailboxes: number;
  /** Of what is cleaned while mail is delivered; half of it stays. */
  readonly smtpReclaimBytes: number;
}

const FULL: Sizes = {
  mailboxes: 100_000,
  sharedBytes: 4096,
  privateBytes: 130,
  requestsAtOnce: 16,
  seconds: 4,
  writtenDeliveries: 300_000,
  readMailboxes: 50,
  readMailboxBytes: 256 * 1024 * 1024,
  readSharedBy: 5,
  readPassesWarm: 8,
  memoryMailboxes: 100_000,
  memoryDeliveries: 5_000_000,
  memorySharedBytes: 64,
  memoryPrivateBytes: 16,
  imapMessages: 10_000,
  smtpConnections: 20,
  smtpBounceConnections: 50,
  smtpIdleConnections: 10_000,
  smtpUsers: 1000,
  smtpMessageBytes: 4096,
  smtpMessages: 8000,
  smtpWrittenMessages: 8000,
  storeBytes: 1_000_000_000,
  storeLagBytes: 60_000_000,
  storeMailboxes: 10_000,
  smtpReclaimBytes: 2 * 1024 * 1024 * 1024,
};

const QUICK: Sizes = {
  ...FULL,
  mailboxes: 2000,
  seconds: 0.5,
  writtenDeliveries: 16_000,
  readMailboxBytes: 4 * 1024 * 1024,
  readPassesWarm: 2,
  memoryMailboxes: 2000,
  memoryDeliveries: 64_000,
  imapMessages: 500,
  smtpIdleConnections: 500,
  smtpMessages: 400,
  storeBytes: 50_000_000,
  storeLagBytes: 10_000_000,
  storeMailboxes: 500,
  smtpWrittenMessages: 400,
  smtpReclaimBytes: 300 * 1024 * 1024,
};

export interface Options {
  readonly directory: string | undefined;
  readonly only: readonly string[];
  readonly runs: number;
  readonly quick: boolean;
  readonly seed: number;
  readonly binding: string;
  readonly json: string | undefined;
  readonly keep: boolean;
  readonly list: boolean;
  readonly help: boolean;
  readonly sizes: Sizes;
}

/** Throws an Error with a message for the user. */
export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      dir: { type: "string" },
      only: { type: "string", multiple: true, default: [] },
      runs: { type: "string" },
      quick: { type: "boolean", default: false },
      seed: { type: "string" },
      binding: { type: "string" },
      "store-gigabytes": { type: "string" },
      json: { type: "string" },
      keep: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const gigabytes = values["store-gigabytes"];
  const sizes = values.quick ? QUICK : FULL;
  const binding = values.binding ?? (process.getuid?.() === 0 ? "kernel" : "auto");
  return {
    directory: values.dir,
    only: values.only.flatMap((rows) => rows.split(",")).filter((row) => row !== ""),
    runs: whole("--runs", values.runs, values.quick ? 1 : 3),
    quick: values.quick,
    seed: whole("--seed", values.seed, 1 + Math.floor(Math.random() * 1e9)),
    binding,
    json: values.json,
    keep: values.keep,
    list: values.list,
    help: values.help,
    sizes:
      gigabytes === undefined
        ? sizes
        : { ...sizes, storeBytes: whole("--store-gigabytes", gigabytes, 1) * 1_000_000_000 },
  };
}

function whole(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${name} wants a number from 1`);
  return value;
}
