/**
 * What the mail server is measured against: smtp-server, and for each recipient an append to his mbox file with fsync,
 * all recipients of a message side by side, 250 when the last of them is on the disk.
 *
 *     UV_THREADPOOL_SIZE=16 node plain.js DIRECTORY PORT [lmtp]
 *
 * It is meant to be as good as a short program can be: 16 threads did best of 4 to 64. Not in it: smtp-server's wait of 100 ms before the
 * greeting, which would be most of what is measured, and its look-up of the client's name.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";

const [, , directory = ".", port = "2525", protocol] = process.argv;
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;
const USER = /^(user\d+)@/;
/** Twenty messages to a thousand recipients each would need more descriptors than a process has. */
const FILES_OPEN_MAX = 1024;

let filesOpen = 0;
const waiting: (() => void)[] = [];

class PromptConnection extends SMTPConnection {
  override init(): void {
    this._setListeners(() => this.connectionReady());
  }
}

class PlainServer extends SMTPServer {
  override connect(...[socket, options]: Parameters<SMTPServer["connect"]>): void {
    const connection = new PromptConnection(this, socket, options);
    this.connections.add(connection);
    connection.on("error", (error) => this._onError(error));
    connection.init();
  }
}

async function append(user: string, message: Buffer): Promise<void> {
  if (filesOpen === FILES_OPEN_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
  else filesOpen++;
  try {
    const file = await open(join(directory, user), APPEND, 0o600);
    try {
      await file.write(message);
      await file.sync();
    } finally {
      await file.close();
    }
  } finally {
    const next = waiting.shift();
    if (next === undefined) filesOpen--;
    else next();
  }
}

function toMbox(sender: string, received: readonly Buffer[]): Buffer {
  const text = Buffer.concat(received).toString("latin1").replaceAll("\r\n", "\n");
  const quoted = text.replace(/^(>*From )/gm, ">$1");
  const [day, date, month, year, time] = new Date().toUTCString().split(/,? /);
  const from = sender === "" ? "MAILER-DAEMON" : sender;
  return Buffer.from(`From ${from} ${day} ${month} ${date} ${time} ${year}\n${quoted}\n`, "latin1");
}

const server = new PlainServer({
  lmtp: protocol === "lmtp",
  disabledCommands: ["AUTH", "STARTTLS"],
  disableReverseLookup: true,
  hideENHANCEDSTATUSCODES: false,
  onRcptTo({ address }, _session, callback) {
    if (USER.test(address)) return callback();
    callback(Object.assign(new Error("No such user"), { responseCode: 550 }));
  },
  onData(stream, { envelope }, callback) {
    const received: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => received.push(chunk));
    stream.on("end", () => {
      const sender = envelope.mailFrom === false ? "" : envelope.mailFrom.address;
      const message = toMbox(sender, received);
      const users = envelope.rcptTo.map(({ address }) => USER.exec(address)?.[1] ?? "");
      Promise.all(users.map((user) => append(user, message))).then(
        () => callback(),
        (error: Error) => callback(error),
      );
    });
  },
});
server.on("error", (error: Error) => process.stderr.write(`plain: ${error.message}\n`));
const listening = server.listen(Number(port), "127.0.0.1", () => {
  const address = listening.address();
  const where = typeof address === "object" ? address?.port : address;
  process.stdout.write(`listening: ${protocol ?? "smtp"} 127.0.0.1:${where}\n`);
});
process.once("SIGTERM", () => server.close(() => process.exit(0)));
