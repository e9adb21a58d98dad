/** IMAP sessions with a private Dovecot through a client library that people use. */
import { ImapFlow } from "imapflow";
import type { Dovecot } from "./dovecot.ts";

const CONNECTIONS = 4;

/** Logged in. A connection that breaks later shows in the command that is under way. */
export async function loggedIn(dovecot: Dovecot, user: string): Promise<ImapFlow> {
  const client = new ImapFlow({
    host: "127.0.0.1",
    port: dovecot.ports.imap,
    secure: false,
    auth: { user, pass: "any" },
    logger: false,
    disableAutoIdle: true,
  });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** The client is logged in; what Dovecot put off is written when this resolves. */
export async function withImap<T>(
  dovecot: Dovecot,
  user: string,
  work: (client: ImapFlow) => Promise<T>,
): Promise<T> {
  const client = await loggedIn(dovecot, user);
  try {
    const result = await work(client);
    await client.mailboxClose();
    return result;
  } finally {
    await client.logout();
  }
}

/** One session for each user with the inbox open, a few at the same time. */
export async function eachInbox(
  dovecot: Dovecot,
  users: readonly string[],
  work: (client: ImapFlow, user: string) => Promise<void>,
): Promise<void> {
  const left = [...users];
  const next = async (): Promise<void> => {
    for (let user = left.shift(); user !== undefined; user = left.shift()) {
      const name = user;
      await withImap(dovecot, name, async (client) => {
        await client.mailboxOpen("INBOX");
        await work(client, name);
      });
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, next));
}
