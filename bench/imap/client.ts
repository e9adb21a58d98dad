/**
 * An IMAP client that costs as little as it can: it keeps the end of what the server says, in which the reply to its
 * command is, and throws the rest away unread. Not here: literals, and anything but one command at a time.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

const COMMAND_MS_MAX = 600_000;
/** Longer than the whole reply to SELECT. */
const TAIL_BYTES = 4000;

export class ImapClient {
  /** Since the connection was made. */
  receivedBytes = 0;
  readonly #socket: Socket;
  #tail = "";
  #commands = 0;
  /** The command that waits for its tagged reply (RFC 3501 section 2.2.2). */
  #waiting: { readonly tag: string; readonly settle: (ended?: Error) => void } | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (data) => this.#take(data));
    socket.on("error", (error) => this.#waiting?.settle(error));
    socket.on("close", () => this.#waiting?.settle(new Error("the server has hung up")));
  }

  static async connect(port: number): Promise<ImapClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect", { signal: AbortSignal.timeout(COMMAND_MS_MAX) });
    return new ImapClient(socket.setNoDelay(true));
  }

  /** The end of what the server said. Throws when its reply is not OK. */
  async command(text: string): Promise<string> {
    const tag = `bench${++this.#commands}`;
    this.#tail = "";
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => this.#socket.destroy(), COMMAND_MS_MAX);
      const settle = (ended?: Error): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
        if (ended === undefined) resolve();
        else reject(new Error(`IMAP: ${text.slice(0, 40)}`, { cause: ended }));
      };
      this.#waiting = { tag, settle };
      this.#socket.write(`${tag} ${text}\r\n`);
    });
    return this.#tail;
  }

  /** LOGOUT; resolves when the server has closed the connection. */
  async logOut(): Promise<void> {
    const closed = once(this.#socket, "close", { signal: AbortSignal.timeout(COMMAND_MS_MAX) });
    await this.command("LOGOUT");
    await closed;
  }

  /** Without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  #take(data: Buffer): void {
    this.receivedBytes += data.length;
    const end = data.toString("latin1", Math.max(0, data.length - TAIL_BYTES));
    this.#tail = (this.#tail + end).slice(-TAIL_BYTES);
    if (this.#waiting === undefined) return;
    // At the very end: the line may stand in a message too.
    const { tag, settle } = this.#waiting;
    const reply = new RegExp(`(?:^|\n)${tag} ([^\n]*)\n$`).exec(this.#tail)?.[1];
    if (reply === undefined) return;
    settle(reply.startsWith("OK") ? undefined : new Error(reply.trim()));
  }
}
