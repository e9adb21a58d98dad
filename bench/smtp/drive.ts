/** Drives a server with the load generator, and checks afterwards that every message is in its mailboxes. */
import type { Native } from "../native.ts";
import type { ServerProcess } from "./server-process.ts";

export const DOMAIN = "example.test";
const COUNT_TIMEOUT_MS = 300_000;
const DEADLINE_SECONDS = 600;

export interface Work {
  readonly protocol: "smtp" | "lmtp";
  readonly connections: number;
  readonly messages: number;
  readonly recipients: number;
  /** Mailboxes user1 to userN; each message goes to those after the ones of the message before. */
  readonly users: number;
  readonly messageBytes: number;
  readonly isPipelined: boolean;
  readonly bouncePercent: number;
}

/** What smtp_load prints (bench/native/smtp_report.h). */
export interface SmtpLoad {
  readonly seconds: number;
  readonly messages: number;
  readonly messagesPerSecond: number;
  readonly refused: number;
  readonly latencyMs: Readonly<Record<"p50" | "p90" | "p99" | "max", number>>;
  readonly processorSeconds: number;
}

function argumentsOf(work: Work, port: number): (string | number)[] {
  const values = {
    "--port": port,
    "--domain": DOMAIN,
    "--deadline": DEADLINE_SECONDS,
    "--connections": work.connections,
    "--messages": work.messages,
    "--recipients": work.recipients,
    "--users": work.users,
    "--size": work.messageBytes,
    "--bounce": work.bouncePercent,
  };
  const argv: (string | number)[] = ["--rotate", ...Object.entries(values).flat()];
  if (work.protocol === "lmtp") argv.push("--lmtp");
  if (!work.isPipelined) argv.push("--no-pipelining");
  return argv;
}

/** One server and what its mailboxes must hold by now. */
export class Driven {
  readonly server: ServerProcess;
  readonly #native: Native;
  /** Messages of user1, user2 and so on. */
  readonly #expected: number[] = [];

  constructor(server: ServerProcess, native: Native) {
    this.server = server;
    this.#native = native;
  }

  /** Throws when a message was not taken or a reply was not the expected one. */
  async run(work: Work): Promise<SmtpLoad> {
    const load = await this.#native.run<SmtpLoad>(
      "smtp_load",
      argumentsOf(work, this.server.port(work.protocol)),
      (DEADLINE_SECONDS + 60) * 1000,
    );
    for (let delivery = 0; delivery < work.messages * work.recipients; delivery++) {
      const user = delivery % work.users;
      this.#expected[user] = (this.#expected[user] ?? 0) + 1;
    }
    return load;
  }

  /** Throws when mail was lost, or doubled. */
  async verify(): Promise<void> {
    const { messages } = await this.#native.run<{ messages: number[] }>(
      "count_messages",
      [this.server.mailboxes, this.#expected.length],
      COUNT_TIMEOUT_MS,
    );
    const wrong = messages.findIndex((count, user) => count !== this.#expected[user]);
    if (wrong === -1) return;
    throw new Error(
      `${this.server.name}: user${wrong + 1} has ${messages[wrong]} messages, ${this.#expected[wrong]} were taken for him`,
    );
  }
}
