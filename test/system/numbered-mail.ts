/**
 * Messages that tell in every line which they are, and a reader that finds out whether a mailbox holds them whole:
 * not one byte of a body missing, from another message, or twice. Quoting of "From " may be any of those in use.
 */

export interface NumberedMail {
  /** Letters, digits and "-". */
  readonly id: string;
  /** Of the body, without first and last. */
  readonly lines?: number;
}

const LINES = 30;

/** Lines end in LF. */
export function mailText({ id, lines = LINES }: NumberedMail): string {
  const fields = [
    "From: Ann <ann@example.org>",
    "To: bob@example.test",
    `Subject: ${id}`,
    `Message-ID: <${id}@example.org>`,
    "Date: Thu, 01 Jan 2026 00:00:00 +0000",
    `X-Lines: ${lines}`,
  ];
  return [...fields, "", ...bodyLines(id, lines)].map((line) => `${line}\n`).join("");
}

function bodyLines(id: string, lines: number): string[] {
  const middle = Array.from(
    { length: lines },
    (_, i) => `${id} line ${i} of ${lines} ${"-".repeat(i % 50)}`,
  );
  return [`From ${id} there are`, ...middle, `${id} ends`];
}

/** The ids of a mailbox's messages, in its order. Throws at whatever is not a whole message. */
export function wholeMails(mailbox: string): string[] {
  if (mailbox === "") return [];
  if (!mailbox.startsWith("From ")) throw damaged("begins", mailbox);
  const messages = mailbox.split(/^From .*\n/m).slice(1);
  return messages.flatMap((message) => {
    const headerEnd = message.indexOf("\n\n");
    const header = message.slice(0, headerEnd + 1);
    // mutt and Dovecot keep a message of their own in front, which tells of the mailbox.
    if (/^Subject: DON'T DELETE THIS MESSAGE/m.test(header)) return [];
    const id = /^Subject: (.*)$/m.exec(header)?.[1];
    const lines = /^X-Lines: (\d+)$/m.exec(header)?.[1];
    if (headerEnd === -1 || id === undefined || lines === undefined) {
      throw damaged("has a message without its header", message);
    }
    const body = message.slice(headerEnd + 2).replaceAll(/^>+(?=From )/gm, "");
    const wanted = bodyLines(id, Number(lines))
      .map((line) => `${line}\n`)
      .join("");
    if (body.replace(/\n+$/, "\n") !== wanted) throw damaged(`has a damaged ${id}`, message);
    return [id];
  });
}

function damaged(how: string, text: string): Error {
  return new Error(`a mailbox ${how}: ${JSON.stringify(text.slice(0, 3_000))}`);
}
