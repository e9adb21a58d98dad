/**
 * The whole mail server as people start it: `onespool serve --config`, in a temporary directory, on free ports of
 * loopback. The test reads its mailboxes through a program of its own (suite/program.ts), never by itself.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CallError, Program } from "../suite/program.ts";
import type { TestContext } from "../suite/run.ts";
import { freePorts } from "./free-port.ts";
import { missing } from "./mount.ts";
import { SmtpClient } from "./smtp-client.ts";

const command = fileURLToPath(new URL("../../cli/onespool.js", import.meta.url));
const START_MS_MAX = 60_000;
const STOP_MS_MAX = 60_000;

/** Tables of the configuration, and keys of the top under "". */
export type Tables = Readonly<Record<string, Readonly<Record<string, TomlValue>>>>;
type TomlValue = string | number | boolean | readonly string[];

export interface MailServerSettings {
  /** Replaces what the tests have otherwise, key by key. */
  readonly tables?: Tables;
  readonly aliases?: readonly string[];
  readonly hasTls?: boolean;
  /** It expects the header of a proxy in front of each connection. */
  readonly isProxied?: boolean;
  /** Its temporary files are in its directory, in "tmp". */
  readonly hasOwnTemporary?: boolean;
  /** Of its processes, beside that of the test. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Processes {
  readonly spool: number;
  readonly front: number;
  readonly workers: readonly number[];
}

/** Why the server cannot be tested here; undefined when it can. */
export function missingForServer(needsTls = false): string | undefined {
  const binding = missing("kernel");
  if (binding !== undefined || !needsTls) return binding;
  const { status } = spawnSync("openssl", ["version"], { timeout: 10_000 });
  return status === 0 ? undefined : "openssl is missing";
}

export class MailServer {
  readonly directory: string;
  readonly mount: string;
  readonly ports: Readonly<Record<"smtp" | "lmtp", number>>;
  readonly #settings: MailServerSettings;
  #server: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #said = "";
  #reader: Program | undefined;

  private constructor(settings: MailServerSettings, smtp: number, lmtp: number) {
    this.#settings = settings;
    this.ports = { smtp, lmtp };
    this.directory = mkdtempSync(join(tmpdir(), "onespool-mail-"));
    chmodSync(this.directory, 0o755);
    this.mount = join(this.directory, "mail");
    mkdirSync(this.mount);
    if (settings.hasOwnTemporary === true) {
      mkdirSync(this.path("tmp"));
      chmodSync(this.path("tmp"), 0o1777);
    }
    if (settings.hasTls === true) this.makeCertificate();
  }

  /** Gone at the end of the test, whatever happens in it. */
  static async start(t: TestContext, settings: MailServerSettings = {}): Promise<MailServer> {
    const [smtp = 0, lmtp = 0] = await freePorts(2);
    const server = new MailServer(settings, smtp, lmtp);
    t.teardown(() => server.end());
    server.configure();
    await server.serve();
    return server;
  }

  /** Writes the configuration; a running server takes it with the next reload. */
  configure(tables: Tables = {}): void {
    const { aliases = [], hasTls = false } = this.#settings;
    writeFileSync(this.path("aliases"), aliases.map((line) => `${line}\n`).join(""));
    const own: Tables = {
      "": { hostname: "mx.example.test", metrics: "off" },
      listen: {
        smtp: [`127.0.0.1:${this.ports.smtp}`],
        lmtp: [`127.0.0.1:${this.ports.lmtp}`],
      },
      spool: { store: this.path("store"), mount: this.mount, binding: "kernel" },
      recipients: {
        domains: ["example.test"],
        users: Array.from({ length: 20 }, (_, i) => `user${i + 1}`),
        aliases: this.path("aliases"),
        postmaster: "user1",
      },
      log: { file: this.path("log") },
      // No worker is given up because a busy machine lets it wait.
      limits: { hand_over_timeout: "60s" },
      ...(hasTls ? { tls: { certificate: this.path("tls.crt"), key: this.path("tls.key") } } : {}),
    };
    const all: Record<string, Record<string, TomlValue>> = {};
    for (const each of [own, this.#settings.tables ?? {}, tables]) {
      for (const [name, keys] of Object.entries(each)) all[name] = { ...all[name], ...keys };
    }
    // Keys of the top come before any table.
    const text = Object.entries(all)
      .sort(([a], [b]) => Number(a !== "") - Number(b !== ""))
      .map(([name, keys]) => {
        const lines = Object.entries(keys).map(
          ([key, value]) => `${key} = ${JSON.stringify(value)}\n`,
        );
        return (name === "" ? "" : `[${name}]\n`) + lines.join("");
      });
    // In one piece: the server may read it just now, for a reload before.
    writeFileSync(this.path("onespool.toml.new"), text.join("\n"));
    renameSync(this.path("onespool.toml.new"), this.path("onespool.toml"));
  }

  /** A new key and a certificate that signs itself. */
  makeCertificate(): void {
    const { status, stderr } = spawnSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
      ]
        .concat(["-keyout", this.path("tls.key"), "-out", this.path("tls.crt")])
        .concat(["-subj", "/CN=mx.example.test", "-addext", "subjectAltName=DNS:mx.example.test"]),
      { encoding: "utf8", timeout: 30_000 },
    );
    if (status !== 0) throw new Error(`openssl: ${stderr}`);
  }

  get certificate(): string {
    return readFileSync(this.path("tls.crt"), "utf8");
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Starts the server and waits until it greets on both ports. */
  async serve(): Promise<void> {
    const args = [command, "serve", "--config", this.path("onespool.toml")];
    const own = this.#settings.hasOwnTemporary === true ? { TMPDIR: this.path("tmp") } : {};
    const server = spawn(process.execPath, args, {
      cwd: "/",
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...this.#settings.environment, ...own },
    });
    this.#server = server;
    this.#said = "";
    this.#exited = once(server, "exit");
    for (const stream of [server.stdout, server.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
    }
    await this.greets();
    // Until now the orphans of a server that was killed may have greeted.
    await this.#until("nothing of its ports", () => this.#said.includes("\nlistening: "));
  }

  /** Waits until both ports greet. */
  async greets(): Promise<void> {
    for (const port of Object.values(this.ports)) {
      const is = () => isGreeting(port, this.#settings.isProxied);
      await this.#until(`no greeting on port ${port}`, is);
    }
  }

  async #until(problem: string, is: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + START_MS_MAX;
    while (!(await is())) {
      if (!this.running) throw new Error(`the server ended: ${this.said}`);
      if (Date.now() > deadline) throw new Error(`${problem}: ${this.said}`);
      await sleep(20);
    }
  }

  get pid(): number {
    return this.#server!.pid!;
  }

  get running(): boolean {
    const server = this.#server;
    return server !== undefined && server.exitCode === null && server.signalCode === null;
  }

  /** What it wrote to its standard output and error, and the end of its log. */
  get said(): string {
    let log = "";
    try {
      log = readFileSync(this.path("log"), "utf8").slice(-4_000);
    } catch {
      // It has not come so far.
    }
    return `${this.#said}\n${log}`;
  }

  /** All lines of the log, parsed. */
  log(): Record<string, unknown>[] {
    const lines = readFileSync(this.path("log"), "utf8").split("\n");
    // The last one is being written, or empty.
    return lines.slice(0, -1).map((line) => JSON.parse(line) as never);
  }

  connect(protocol: "smtp" | "lmtp" = "smtp"): Promise<SmtpClient> {
    return SmtpClient.connect(this.ports[protocol]);
  }

  port(protocol: "smtp" | "lmtp"): number {
    return this.ports[protocol];
  }

  /** The text of a mailbox as latin1; "" if there is none. */
  async mailbox(name: string): Promise<string> {
    return (await this.mailboxBytes(name)).toString("latin1");
  }

  async mailboxBytes(name: string): Promise<Buffer> {
    this.#reader ??= new Program();
    try {
      return await this.#reader.readFile(Buffer.from(join(this.mount, name)).toString("latin1"));
    } catch (error) {
      if (error instanceof CallError && error.code === "ENOENT") return Buffer.alloc(0);
      throw error;
    }
  }

  /** SIGHUP; resolves when it was sent. */
  reload(): void {
    this.#server!.kill("SIGHUP");
  }

  /** The processes that run now. Workers are children of the front. */
  processes(): Processes {
    const found = descendants(this.pid);
    const named = (pattern: RegExp): number[] =>
      found.filter(({ name }) => pattern.test(name)).map(({ pid }) => pid);
    const [front = 0] = named(/server\/front\//);
    const [spool = 0] = named(/onespool\.js mount /);
    return { front, spool, workers: named(/server\/worker\//) };
  }

  /** SIGKILL to the supervisor alone; resolves when it has gone. */
  async kill(): Promise<void> {
    this.#server?.kill("SIGKILL");
    await this.#exited;
  }

  /** SIGTERM: it finishes what is under way; resolves with its exit code. */
  async stop(): Promise<number | null> {
    this.#server?.kill("SIGTERM");
    return this.ended();
  }

  async ended(): Promise<number | null> {
    const abandon = new AbortController();
    const late = await Promise.race([
      this.#exited.then(() => false),
      sleep(STOP_MS_MAX, true, { signal: abandon.signal }),
    ]);
    abandon.abort();
    if (late) throw new Error(`the server does not end: ${this.said}`);
    return this.#server!.exitCode;
  }

  /** Leaves nothing behind. */
  async end(): Promise<void> {
    if (this.running) {
      const all = [...descendants(this.pid).map(({ pid }) => pid), this.pid];
      this.#server!.kill("SIGTERM");
      const gone = this.#exited.then(() => true);
      const isGone = await Promise.race([gone, sleep(10_000, false, { ref: false })]);
      for (const pid of isGone ? [] : all) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // It ended meanwhile.
        }
      }
      await gone;
    }
    await this.#reader?.end();
    for (let i = 0; i < 5; i++) {
      if (spawnSync("umount", ["-i", "-l", this.mount], { timeout: 10_000 }).status !== 0) break;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function isGreeting(port: number, isProxied = false): Promise<boolean> {
  let client: SmtpClient | undefined;
  try {
    client = await SmtpClient.connect(port);
    if (isProxied) client.write("PROXY UNKNOWN\r\n");
    return (await client.replyOrEnd())?.code === 220;
  } catch {
    return false;
  } finally {
    client?.destroy();
  }
}

function descendants(root: number): { pid: number; name: string }[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "latin1");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
    } catch {
      // It ended meanwhile.
    }
  }
  const found: { pid: number; name: string }[] = [];
  const visit = (pid: number): void => {
    for (const child of children.get(pid) ?? []) {
      try {
        const words = readFileSync(`/proc/${child}/cmdline`, "latin1").split("\0");
        found.push({ pid: child, name: words.join(" ") });
      } catch {
        // It ended meanwhile.
      }
      visit(child);
    }
  };
  visit(root);
  return found;
}
