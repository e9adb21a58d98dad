/** Sends the mail of `make run`: SMTP in its plainest form, a command and its reply (RFC 5321). */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { CommandFailure } from "./failure.ts";

const SILENCE_MS_MAX = 30_000;

export interface Mail {
  readonly sender: string;
  readonly recipients: readonly string[];
  /** Its lines end in LF. */
  readonly message: Buffer;
}

/** Lines of text with CRLF, a dot doubled at the beginning of one, and the final dot (section 4.5.2). */
function asData(message: Buffer): Buffer {
  const text = message.toString("latin1").replace(/\n$/, "");
  const lines = text.split("\n").map((line) => (line.startsWith(".") ? `.${line}` : line));
  return Buffer.from(`${lines.join("\r\n")}\r\n.\r\n`, "latin1");
}

/** The last line of each reply. */
async function* replies(socket: Socket): AsyncGenerator<string> {
  for await (const line of createInterface({ input: socket, crlfDelay: Infinity })) {
    if (line[3] !== "-") yield line;
  }
}

/** Returns the reply to the data; throws CommandFailure for any reply that refuses. */
export async function sendMail(port: { host: string; port: number }, mail: Mail): Promise<string> {
  const socket = connect(port);
  socket.setTimeout(SILENCE_MS_MAX, () => socket.destroy(new Error("the server does not answer")));
  try {
    await once(socket, "connect");
    const answers = replies(socket);
    const expect = async (command: string | Buffer): Promise<string> => {
      if (command.length > 0) socket.write(command);
      const { value: reply = "the server has closed the connection" } = await answers.next();
      if (!/^[23]/.test(reply)) throw new CommandFailure(`SMTP: ${reply}`);
      return reply;
    };
    await expect("");
    await expect("EHLO localhost\r\n");
    await expect(`MAIL FROM:<${mail.sender}>\r\n`);
    for (const recipient of mail.recipients) await expect(`RCPT TO:<${recipient}>\r\n`);
    await expect("DATA\r\n");
    const reply = await expect(asData(mail.message));
    await expect("QUIT\r\n");
    return reply;
  } finally {
    socket.destroy();
  }
}
