/**
 * A private Dovecot 2.3 over a directory of mbox files (a mount, or a plain directory to compare with): IMAP and POP3
 * on free ports of loopback, its indexes, sockets and log in a temporary directory outside of the mount. Every user
 * exists, any password is right, and all mail is read as one uid. The mailbox of a user is DIRECTORY/USER, the
 * folders are in DIRECTORY/USER.folders.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { childrenOf } from "../supervised.ts";
import { freePorts } from "./free-port.ts";

const START_MS_MAX = 30_000;
const STOP_MS_MAX = 20_000;

export interface DovecotSettings {
  /** Where the mailboxes are. */
  readonly mail: string;
  /** Owner of the mailboxes, not 0. */
  readonly uid: number;
  readonly gid: number;
  /** Values of Dovecot's settings, over those below. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly protocols?: readonly ("imap" | "pop3" | "lmtp")[];
}

/** Why Dovecot cannot be tested here; undefined when it can. */
export function missingDovecot(): string | undefined {
  if (process.getuid!() !== 0) return "a private Dovecot needs root";
  const { status, stdout } = spawnSync("dovecot", ["--version"], {
    encoding: "utf8",
    timeout: 10_000,
  });
  if (status !== 0) return "dovecot is missing";
  return stdout.startsWith("2.3.") ? undefined : `dovecot is not 2.3 but ${stdout.trim()}`;
}

export class Dovecot {
  readonly directory: string;
  readonly ports: Readonly<Record<"imap" | "pop3" | "lmtp", number>>;
  readonly #settings: DovecotSettings;
  #server: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #said = "";

  private constructor(settings: DovecotSettings, [imap, pop3, lmtp]: readonly number[]) {
    this.#settings = settings;
    this.ports = { imap: imap!, pop3: pop3!, lmtp: lmtp! };
    this.directory = mkdtempSync(join(tmpdir(), "onespool-dovecot-"));
    // Its processes run as several users.
    chmodSync(this.directory, 0o755);
    mkdirSync(join(this.directory, "indexes"), { mode: 0o777 });
    chmodSync(join(this.directory, "indexes"), 0o777);
  }

  /** Resolves when it greets on its ports. The caller ends it. */
  static async start(settings: DovecotSettings): Promise<Dovecot> {
    const ports = await freePorts(3);
    const dovecot = new Dovecot(settings, ports);
    try {
      await dovecot.serve();
      return dovecot;
    } catch (error) {
      await dovecot.end();
      throw error;
    }
  }

  get log(): string {
    try {
      return readFileSync(join(this.directory, "log"), "utf8");
    } catch {
      return "";
    }
  }

  /** Lines of the log that tell of something wrong; that it was told to end is not. */
  get complaints(): string[] {
    const pattern = /(Error|Fatal|Panic|Warning):|corrupt/i;
    const stopped = /master: Warning: Killed with signal 15 /;
    return this.log.split("\n").filter((line) => pattern.test(line) && !stopped.test(line));
  }

  /** The processes that serve a session. One whose client has left may still have something to write. */
  get sessions(): readonly number[] {
    const pid = this.#server?.pid;
    return pid === undefined ? [] : childrenOf(pid).filter((child) => isSession(child));
  }

  /** The file of its settings, for doveadm -c. */
  get configuration(): string {
    return join(this.directory, "dovecot.conf");
  }

  async serve(): Promise<void> {
    writeFileSync(this.configuration, this.#configure());
    const server = spawn("dovecot", ["-F", "-c", this.configuration], {
      cwd: "/",
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#server = server;
    this.#exited = once(server, "exit");
    for (const stream of [server.stdout, server.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
    }
    const deadline = Date.now() + START_MS_MAX;
    for (const protocol of this.#protocols) {
      while (!(await isGreeting(this.ports[protocol]))) {
        const isGone = server.exitCode !== null || server.signalCode !== null;
        if (isGone || Date.now() > deadline) {
          throw new Error(`Dovecot does not greet: ${this.#said}\n${this.log.slice(-4_000)}`);
        }
        await sleep(50);
      }
    }
  }

  /** Forgets what it knows of the mailboxes, as after a move to another machine. Not while it runs. */
  removeIndexes(): void {
    const indexes = join(this.directory, "indexes");
    rmSync(indexes, { recursive: true, force: true });
    mkdirSync(indexes);
    chmodSync(indexes, 0o777);
  }

  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    server.kill("SIGTERM");
    const isGone = await Promise.race([
      this.#exited.then(() => true),
      sleep(STOP_MS_MAX, false, { ref: false }),
    ]);
    if (!isGone) server.kill("SIGKILL");
    await this.#exited;
  }

  /** Leaves nothing behind. */
  async end(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  get #protocols(): readonly ("imap" | "pop3" | "lmtp")[] {
    return this.#settings.protocols ?? ["imap", "pop3"];
  }

  #configure(): string {
    const { mail, uid, gid, settings = {} } = this.#settings;
    const { directory } = this;
    const values: Record<string, string> = {
      base_dir: join(directory, "run"),
      state_dir: join(directory, "state"),
      log_path: join(directory, "log"),
      protocols: this.#protocols.join(" "),
      listen: "127.0.0.1",
      ssl: "no",
      disable_plaintext_auth: "no",
      mail_location: `mbox:${mail}/%u.folders:INBOX=${mail}/%u:INDEX=${directory}/indexes/%u`,
      first_valid_uid: "1",
      // The processes that serve the logins start at once, and few.
      default_process_limit: "200",
      login_log_format_elements: "user=<%u> method=%m rip=%r",
      mail_max_userip_connections: "100",
      ...settings,
    };
    const lines = Object.entries(values).map(([key, value]) => `${key} = ${value}\n`);
    const listeners = (["imap", "pop3"] as const).map(
      (name) => `service ${name}-login {
  inet_listener ${name} {
    port = ${this.ports[name]}
  }
  inet_listener ${name}s {
    port = 0
  }
}
`,
    );
    const lmtp = `service lmtp {
  inet_listener lmtp {
    port = ${this.ports.lmtp}
  }
}
`;
    const users = `passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=${uid} gid=${gid} home=${directory}/home/%u allow_all_users=yes
}
`;
    const services = this.#protocols.includes("lmtp") ? [...listeners, lmtp] : listeners;
    return [...lines, ...services, users].join("");
  }
}

function isSession(pid: number): boolean {
  try {
    return /^(imap|pop3)$/m.test(readFileSync(`/proc/${pid}/comm`, "latin1"));
  } catch {
    return false;
  }
}

async function isGreeting(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const greeted = once(socket, "data", { signal: AbortSignal.timeout(2_000) });
  try {
    await greeted;
    return true;
  } catch {
    return false;
  } finally {
    socket.on("error", () => {}).destroy();
  }
}
