/** What a user does with a mailbox that his IMAP server has never seen, step by step. */
import { ImapClient } from "./client.ts";

export const STEPS = ["select", "fetch", "flag", "expunge", "close"] as const;
export type Step = (typeof STEPS)[number];

export const SAYS: Readonly<Record<Step, string>> = {
  select: "the first SELECT",
  fetch: "FETCH of all bodies",
  // Dovecot keeps flags in its index and writes them into the mailbox later: at the latest at CHECK.
  flag: "STORE \\Seen on all, CHECK",
  expunge: "STORE \\Deleted on every second, EXPUNGE",
  close: "CLOSE, LOGOUT, to the end of the connection",
};

export interface Session {
  /** Duration of each step. */
  readonly ms: Readonly<Record<Step, number>>;
  readonly fetchedBytes: number;
}

/**
 * Logs in before the clock starts. Throws when the mailbox does not have so many messages, or a command fails. `after`
 * is called behind each step, outside of the clock.
 */
export async function useMailbox(
  port: number,
  user: string,
  messages: number,
  after: (step: Step) => Promise<void> = async () => {},
): Promise<Session> {
  const everySecond = Array.from({ length: messages >> 1 }, (_, index) => 2 * index + 1).join(",");
  const client = await ImapClient.connect(port);
  let fetchedBytes = 0;
  const work: Readonly<Record<Step, () => Promise<void>>> = {
    select: async () => {
      const said = await client.command("SELECT INBOX");
      if (!said.includes(`* ${messages} EXISTS\r\n`)) {
        throw new Error(`${user} does not have ${messages} messages: ${said}`);
      }
    },
    fetch: async () => {
      const before = client.receivedBytes;
      await client.command("FETCH 1:* (BODY.PEEK[])");
      fetchedBytes = client.receivedBytes - before;
    },
    flag: async () => {
      await client.command("STORE 1:* +FLAGS.SILENT (\\Seen)");
      await client.command("CHECK");
    },
    expunge: async () => {
      await client.command(`STORE ${everySecond} +FLAGS.SILENT (\\Deleted)`);
      await client.command("EXPUNGE");
    },
    close: async () => {
      await client.command("CLOSE");
      await client.logOut();
    },
  };
  const ms: Record<Step, number> = { select: 0, fetch: 0, flag: 0, expunge: 0, close: 0 };
  try {
    await client.command(`LOGIN ${user} secret`);
    for (const step of STEPS) {
      const began = performance.now();
      await work[step]();
      ms[step] = performance.now() - began;
      await after(step);
    }
  } finally {
    client.destroy();
  }
  return { ms, fetchedBytes };
}

export function totalMs({ ms }: Session): number {
  return STEPS.reduce((sum, step) => sum + ms[step], 0);
}
