/** One mail over SMTP, command by command, as it is written: nothing is made of addresses or text but lines for DATA. */
import { shownReply, type SmtpClient } from "./smtp-client.ts";

export interface Sending {
  readonly from: string;
  /** Behind MAIL FROM. */
  readonly fromParameters?: string;
  readonly to: readonly string[];
  /** Behind each RCPT TO. */
  readonly toParameters?: string;
  /** Lines end in LF. One character for each byte. */
  readonly text: string;
}

/** Through a connection that was greeted and has said who it is. Throws if anything is refused. */
export async function send(client: SmtpClient, sending: Sending): Promise<void> {
  const { from, fromParameters = "", to, toParameters = "", text } = sending;
  const commands = [
    `MAIL FROM:<${from}>${fromParameters && ` ${fromParameters}`}`,
    ...to.map((address) => `RCPT TO:<${address}>${toParameters && ` ${toParameters}`}`),
    "DATA",
  ];
  client.write(Buffer.from(commands.map((command) => `${command}\r\n`).join("")));
  for (const command of commands) {
    const reply = await client.reply();
    const wanted = command === "DATA" ? 354 : 250;
    if (reply.code !== wanted) throw new Error(`${command}: ${shownReply(reply)}`);
  }
  client.write(`${text.replaceAll(/^\./gm, "..").replaceAll("\n", "\r\n")}.\r\n`);
  await client.expect(250);
}

/** EHLO and its reply. */
export async function introduce(client: SmtpClient): Promise<void> {
  await client.expect(220);
  client.write("EHLO client.test\r\n");
  await client.expect(250);
}

export async function quit(client: SmtpClient): Promise<void> {
  client.write("QUIT\r\n");
  await client.expect(221);
  await client.closed();
}
