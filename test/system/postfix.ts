/**
 * A private Postfix: its own configuration, queue, log and port on loopback in a temporary directory. It takes mail
 * over SMTP for the domains that the settings give it; nothing leaves the machine.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { environmentOf, missingProgram, outputOf, prepared, run } from "./command.ts";
import type { CommandOptions } from "./command.ts";
import { freePort } from "./free-port.ts";
import { SmtpClient } from "./smtp-client.ts";

const START_MS_MAX = 30_000;
const STOP_MS_MAX = 20_000;
const DELIVERED_MS_MAX = 60_000;
/** What it says of the clock of the disk that has its queue. */
const CLOCK = /file system clock|resetting file time stamps/;
/** With a reload a service ends while another one asks it, which then asks again. */
const RELOADED = /warning: problem talking to service \w+: Connection reset by peer/;

/** Values of main.cf. */
export type Parameters = Readonly<Record<string, string>>;

/** What it finds at /var/mail. */
export type PostfixPlace = Pick<CommandOptions, "varMail">;

export interface Queued {
  readonly queue_name: string;
  readonly queue_id: string;
  readonly sender: string;
  readonly recipients: readonly { readonly address: string; readonly delay_reason?: string }[];
}

/** Services of master.cf: name, type, private, unprivileged, wake-up time, processes at most, program. */
const services = [
  "pickup unix n - n 60 1 pickup",
  "cleanup unix n - n - 0 cleanup",
  "qmgr unix n - n 300 1 qmgr",
  "rewrite unix - - n - - trivial-rewrite",
  "bounce unix - - n - 0 bounce",
  "defer unix - - n - 0 bounce",
  "trace unix - - n - 0 bounce",
  "verify unix - - n - 1 verify",
  "flush unix n - n 1000 0 flush",
  "proxymap unix - - n - - proxymap",
  "showq unix n - n - - showq",
  "error unix - - n - - error",
  "retry unix - - n - - error",
  "discard unix - - n - - discard",
  "local unix - n n - - local",
  "virtual unix - n n - - virtual",
  "lmtp unix - - n - - lmtp",
  "anvil unix - - n - 1 anvil",
  "scache unix - - n - 1 scache",
  "postlog unix-dgram n - n - 1 postlogd",
];

/** Why Postfix cannot be tested here; undefined when it can. */
export function missingPostfix(): string | undefined {
  if (process.getuid!() !== 0) return "a private Postfix needs root";
  return missingProgram("postfix", "postqueue", "postmap");
}

export class Postfix {
  readonly directory: string;
  readonly port: number;
  readonly #place: PostfixPlace;
  #parameters: Parameters;
  #master: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #said = "";

  private constructor(parameters: Parameters, place: PostfixPlace, port: number) {
    this.#parameters = parameters;
    this.#place = place;
    this.port = port;
    this.directory = mkdtempSync(join(tmpdir(), "onespool-postfix-"));
    // Its processes run as several users.
    chmodSync(this.directory, 0o755);
    for (const name of ["config", "queue", "data"]) mkdirSync(this.path(name));
  }

  /** Resolves when it greets. The caller ends it. */
  static async start(parameters: Parameters, place: PostfixPlace = {}): Promise<Postfix> {
    const postfix = new Postfix(parameters, place, await freePort());
    try {
      await outputOf(["chown", "postfix", postfix.path("data")]);
      postfix.configure();
      await postfix.serve();
      return postfix;
    } catch (error) {
      await postfix.end();
      throw error;
    }
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Writes the configuration; a running one takes it with the next reload. */
  configure(more: Parameters = {}): void {
    this.#parameters = { ...this.#parameters, ...more };
    const all: Parameters = {
      compatibility_level: "3.6",
      queue_directory: this.path("queue"),
      data_directory: this.path("data"),
      maillog_file: this.path("log"),
      maillog_file_prefixes: this.directory,
      myhostname: "relay.example.test",
      mydestination: "",
      inet_interfaces: "loopback-only",
      inet_protocols: "ipv4",
      mynetworks: "127.0.0.0/8",
      // What no transport takes is not sent anywhere.
      default_transport: "error:5.7.1 nothing leaves this test",
      relay_transport: "error:5.7.1 nothing leaves this test",
      alias_maps: "",
      alias_database: "",
      local_recipient_maps: "",
      biff: "no",
      disable_dns_lookups: "yes",
      // Seconds, so that a test need not wait for the hours of a real queue.
      minimal_backoff_time: "1s",
      maximal_backoff_time: "2s",
      queue_run_delay: "1s",
      deliver_lock_delay: "1s",
      in_flow_delay: "0s",
      ...this.#parameters,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}\n`);
    writeFileSync(this.path("config/main.cf"), lines.join(""));
    const master = [`127.0.0.1:${this.port} inet n - n - - smtpd`, ...services];
    writeFileSync(this.path("config/master.cf"), master.map((line) => `${line}\n`).join(""));
  }

  /** Files of the configuration: a table in the format texthash needs no command to be read. */
  write(name: string, lines: readonly string[]): string {
    writeFileSync(this.path(name), lines.map((line) => `${line}\n`).join(""));
    return `texthash:${this.path(name)}`;
  }

  async serve(): Promise<void> {
    const [program, ...args] = prepared(
      ["postfix", "-c", this.path("config"), "start-fg"],
      this.#place,
    );
    const master = spawn(program!, args, {
      cwd: "/",
      env: environmentOf({}),
      stdio: ["ignore", "pipe", "pipe"],
      // It ends what is in its group.
      detached: true,
    });
    this.#master = master;
    this.#exited = once(master, "exit");
    for (const stream of [master.stdout, master.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
    }
    this.#guard();
    for (const deadline = Date.now() + START_MS_MAX; !(await this.#greets()); await sleep(50)) {
      if (!this.running) throw new Error(`Postfix ended: ${this.said}`);
      if (Date.now() > deadline) throw new Error(`Postfix does not greet: ${this.said}`);
    }
  }

  get running(): boolean {
    const master = this.#master;
    return master !== undefined && master.exitCode === null && master.signalCode === null;
  }

  get log(): string {
    try {
      return readFileSync(this.path("log"), "utf8");
    } catch {
      return "";
    }
  }

  /** Lines of the log that tell of something wrong with Postfix itself. */
  get complaints(): string[] {
    return this.log
      .split("\n")
      .filter((line) => /\b(warning|error|fatal|panic):/.test(line))
      .filter((line) => !CLOCK.test(line) && !RELOADED.test(line));
  }

  /** What it said until now. */
  get said(): string {
    return `${this.#said}${this.log.slice(-4_000)}`;
  }

  connect(): Promise<SmtpClient> {
    return SmtpClient.connect(this.port);
  }

  async reload(): Promise<void> {
    await outputOf(["postfix", "-c", this.path("config"), "reload"]);
  }

  /** What waits to be delivered. */
  async queue(): Promise<Queued[]> {
    const lines = await outputOf(["postqueue", "-c", this.path("config"), "-j"]);
    return lines.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Queued]));
  }

  /** Tries at once to deliver all that waits. */
  async flush(): Promise<void> {
    await outputOf(["postqueue", "-c", this.path("config"), "-f"]);
  }

  /**
   * Waits until everything was delivered or sent back. showq(8) reads one queue after the other, and misses a message
   * that comes into one that it has read already; at the next look this one is there, unless it is done.
   */
  async delivered(): Promise<void> {
    let looksAtNothing = 0;
    for (const deadline = Date.now() + DELIVERED_MS_MAX; ; await sleep(100)) {
      const queue = await this.queue();
      looksAtNothing = queue.length === 0 ? looksAtNothing + 1 : 0;
      if (looksAtNothing === 2) return;
      if (Date.now() > deadline) {
        throw new Error(`Postfix keeps ${JSON.stringify(queue).slice(0, 2_000)}: ${this.said}`);
      }
    }
  }

  /** It finishes the deliveries that are under way; what it has in its queue stays. */
  async stop(): Promise<void> {
    await run(["postfix", "-c", this.path("config"), "stop"]);
    await Promise.race([this.#exited, sleep(STOP_MS_MAX, undefined, { ref: false })]);
    if (this.running) throw new Error(`Postfix does not end: ${this.said}`);
  }

  /** Ids of its processes that run now: each has the directory of its configuration in its environment. */
  processes(): number[] {
    return readdirSync("/proc").flatMap((entry) => {
      if (!/^\d+$/.test(entry)) return [];
      try {
        const environment = readFileSync(`/proc/${entry}/environ`, "latin1").split("\0");
        return environment.includes(`MAIL_CONFIG=${this.path("config")}`) ? [Number(entry)] : [];
      } catch {
        // It ended meanwhile.
        return [];
      }
    });
  }

  /** Leaves nothing behind. */
  async end(): Promise<void> {
    try {
      if (this.running) await this.stop();
    } finally {
      for (const pid of this.processes()) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // It ended meanwhile.
        }
      }
      rmSync(this.directory, { recursive: true, force: true });
    }
  }

  /** It would go on without a test that was killed: this one ends it as soon as the test is gone. */
  #guard(): void {
    const script = 'read line; exec postfix -c "$0" abort';
    const guard = spawn("sh", ["-c", script, this.path("config")], {
      cwd: "/",
      env: environmentOf({}),
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    void this.#exited.then(() => guard.kill("SIGKILL"));
  }

  async #greets(): Promise<boolean> {
    let client: SmtpClient | undefined;
    try {
      client = await this.connect();
      return (await client.replyOrEnd())?.code === 220;
    } catch {
      return false;
    } finally {
      client?.destroy();
    }
  }
}
