/**
 * Reads and runs the dialogues of test/dialogues: text files in which a client and the mail server speak in turn.
 * test/dialogues/README.md is the description of their language.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { SmtpClient, shownReply, type Reply } from "./system/smtp-client.ts";

export type Step =
  | { readonly kind: "connect"; readonly protocol: "smtp" | "lmtp" }
  | { readonly kind: "admitted"; readonly protocol: "smtp" | "lmtp" }
  | { readonly kind: "send"; readonly bytes: Buffer }
  | { readonly kind: "reply"; readonly pattern: string; readonly lines: readonly LineRule[] }
  | { readonly kind: "mailbox"; readonly name: string; readonly lines: readonly LineRule[] }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "tls" | "closed" | "close" };

/** What stands indented below a reply or a mailbox. */
export interface LineRule {
  readonly rule: "has" | "lacks" | "messages";
  readonly text: string;
}

export interface Placed {
  readonly step: Step;
  readonly connection: string;
  readonly lineNumber: number;
}

export interface Dialogue {
  /** Which of the configurations it needs. */
  readonly server: string;
  readonly steps: readonly Placed[];
}

const ADMITTED_MS_MAX = 20_000;

/** Where a dialogue talks to. */
export interface DialogueServer {
  port(protocol: "smtp" | "lmtp"): number;
  /** The text of a mailbox, "" if there is none. */
  mailbox(name: string): Promise<string>;
}

export function parseDialogue(text: string): Dialogue {
  const lines = text.split("\n").map((line, i) => ({ line, number: i + 1 }));
  let server = "default";
  const steps: Placed[] = [];
  const parse = (from: number, to: number, count: number): void => {
    for (let at = from; at < to; at++) {
      const { line: raw, number } = lines[at]!;
      const line = raw
        .replaceAll("{{n}}", String(count))
        .replaceAll(/\{\{(.*?)\*(\d+)\}\}/g, (_, word: string, times) =>
          word.repeat(Number(times)),
        );
      if (line.trim() === "" || line.startsWith("#")) continue;
      const fail = (what: string): never => {
        throw new Error(`line ${number}: ${what}: ${line}`);
      };
      const [, times] = /^repeat (\d+)$/.exec(line) ?? [];
      if (times !== undefined) {
        const end = lines.findIndex((other, k) => k > at && other.line === "end");
        if (end === -1) fail("repeat without end");
        for (let k = 1; k <= Number(times); k++) parse(at + 1, end, k);
        at = end;
        continue;
      }
      const [, named] = /^server (\S+)$/.exec(line) ?? [];
      if (named !== undefined) {
        server = named;
        continue;
      }
      if (line.startsWith("  ")) {
        const step = steps.at(-1)?.step;
        const [, rule, rest = ""] = /^ +(has|lacks|messages)(?: (.*))?$/.exec(line) ?? [];
        if (rule === undefined || !(step?.kind === "reply" || step?.kind === "mailbox")) {
          return fail("nothing that this can be said of");
        }
        (step.lines as LineRule[]).push({ rule: rule as LineRule["rule"], text: rest });
        continue;
      }
      const [, connection = "c1", words] = /^(?:(c\d+) )?(.*)$/.exec(line)!;
      steps.push({
        step: parseStep(words!) ?? fail("unknown step"),
        connection,
        lineNumber: number,
      });
    }
  };
  parse(0, lines.length, 0);
  return { server, steps };
}

function parseStep(words: string): Step | undefined {
  const [, sign, text = ""] = /^(>>|>|<)(?: (.*))?$/.exec(words) ?? [];
  if (sign === ">") return { kind: "send", bytes: unescape(`${text}\\r\\n`) };
  if (sign === ">>") return { kind: "send", bytes: unescape(text) };
  if (sign === "<") return { kind: "reply", pattern: text, lines: [] };
  const [verb, argument = ""] = words.split(" ");
  switch (verb) {
    case "connect":
    case "admitted":
      return argument === "smtp" || argument === "lmtp"
        ? { kind: verb, protocol: argument }
        : undefined;
    case "mailbox":
      return { kind: "mailbox", name: argument, lines: [] };
    case "wait":
      return /^\d+$/.test(argument) ? { kind: "wait", ms: Number(argument) } : undefined;
    case "tls":
    case "closed":
    case "close":
      return { kind: verb };
    default:
      return undefined;
  }
}

const escapes: Readonly<Record<string, string>> = {
  r: "\r",
  n: "\n",
  t: "\t",
  "0": "\0",
  "\\": "\\",
};

function unescape(text: string): Buffer {
  const pieces = text.split(/(\\x[0-9a-f]{2}|\\.)/i).map((piece, i) => {
    if (i % 2 === 0) return Buffer.from(piece);
    if (piece[1] === "x") return Buffer.from(piece.slice(2), "hex");
    const character = escapes[piece[1]!];
    if (character === undefined) throw new Error(`unknown escape: ${piece}`);
    return Buffer.from(character);
  });
  return Buffer.concat(pieces);
}

/** `*` stands for any text; what comes behind the pattern's end does not matter. */
export function matches(pattern: string, text: string, isWhole: boolean): boolean {
  const source = pattern
    .split("*")
    .map((piece) => piece.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join(".*");
  return new RegExp(`^${source}${isWhole ? "$" : "(?:$|[ -])"}`, "is").test(text);
}

/** Throws with the number of the line that was not as it is written. */
export async function runDialogue(dialogue: Dialogue, server: DialogueServer): Promise<void> {
  const clients = new Map<string, SmtpClient>();
  const names = dialogue.steps.flatMap(({ step }) => (step.kind === "mailbox" ? [step.name] : []));
  const before = new Map<string, number>();
  for (const name of names) before.set(name, (await server.mailbox(name)).length);
  try {
    for (const { step, connection, lineNumber } of dialogue.steps) {
      try {
        if (step.kind === "connect") {
          clients.set(connection, await SmtpClient.connect(server.port(step.protocol)));
        } else if (step.kind === "admitted") {
          clients.set(connection, await admitted(server.port(step.protocol)));
        } else if (step.kind === "mailbox") {
          const text = await server.mailbox(step.name);
          checkMailbox(text.slice(before.get(step.name)), step.lines);
        } else {
          const client = clients.get(connection);
          if (client === undefined) throw new Error(`${connection} is not connected`);
          await runStep(step, client);
        }
      } catch (error) {
        throw new Error(`line ${lineNumber}: ${(error as Error).message}`, { cause: error });
      }
    }
  } finally {
    for (const client of clients.values()) client.destroy();
  }
}

async function admitted(port: number): Promise<SmtpClient> {
  const deadline = Date.now() + ADMITTED_MS_MAX;
  for (;;) {
    const client = await SmtpClient.connect(port);
    const reply = await client.reply();
    if (reply.code === 220) return client;
    client.destroy();
    if (reply.code !== 421 || Date.now() > deadline) {
      throw new Error(`wanted 220, got ${shownReply(reply)}`);
    }
    await sleep(20);
  }
}

async function runStep(
  step: Exclude<Step, { kind: "connect" | "admitted" | "mailbox" }>,
  client: SmtpClient,
): Promise<void> {
  switch (step.kind) {
    case "send":
      client.write(step.bytes);
      return;
    case "reply":
      checkReply(await client.reply(), step.pattern, step.lines);
      return;
    case "wait":
      await sleep(step.ms);
      return;
    case "tls":
      await client.startTls();
      return;
    case "close":
      client.end();
      return;
    case "closed": {
      const rest = await client.closed();
      if (rest !== "") throw new Error(`before the end came ${JSON.stringify(rest)}`);
    }
  }
}

function checkReply(reply: Reply, pattern: string, rules: readonly LineRule[]): void {
  if (!matches(pattern, `${reply.code} ${reply.lines.at(-1)}`, false)) {
    throw new Error(`wanted ${pattern}, got ${shownReply(reply)}`);
  }
  checkLines(reply.lines, rules);
}

function checkMailbox(text: string, rules: readonly LineRule[]): void {
  const lines = text.split("\n");
  checkLines(lines, rules);
  const messages = lines.filter((line) => line.startsWith("From ")).length;
  for (const { rule, text: number } of rules) {
    if (rule === "messages" && messages !== Number(number)) {
      throw new Error(`wanted ${number} messages, found ${messages}`);
    }
  }
}

function checkLines(lines: readonly string[], rules: readonly LineRule[]): void {
  for (const { rule, text } of rules) {
    if (rule === "messages") continue;
    if (lines.some((line) => matches(text, line, true)) !== (rule === "has")) {
      throw new Error(`${rule === "has" ? "no" : "a"} line "${text}" in ${JSON.stringify(lines)}`);
    }
  }
}
