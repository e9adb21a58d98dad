/**
 * One worker process, as the front sees it. Sockets travel through its channel one at a time: Node queues those that
 * wait for the word of the other side. A session counts as given when the worker has said so.
 *
 * Node's own bookkeeping of sockets that came from a server of this process is not wanted: it would cost messages
 * for each one, to answer questions that nobody asks here. So the socket is made to forget its server.
 */
import { fork, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { assertNever } from "../../base/assert.ts";
import type { Config } from "../config/config.ts";
import type { HandOverRecord } from "../hand-over/record.ts";
import { Relay } from "../hand-over/relay.ts";
import { removeRelayDirectory } from "../hand-over/relay-directory.ts";
import type { HandOverResult, WorkerPort } from "../hand-over/worker-port.ts";
import { MESSAGES_VERSION, type FromWorker, type ToWorker } from "../messages.ts";
import { monotonicMs } from "../monotonic.ts";

/** One for each request to the spool at a time (server/delivery), and some for files. */
const POOL_THREADS = "24";
const PROGRAM = fileURLToPath(new URL("../worker/main.js", import.meta.url));

export interface WorkerEvents {
  ready(worker: WorkerProcess): void;
  closed(ids: readonly string[]): void;
  counters(worker: WorkerProcess, counters: unknown): void;
  /** It takes no more sessions. */
  retiring(worker: WorkerProcess): void;
  ended(worker: WorkerProcess, how: string): void;
}

interface Pending {
  readonly socket: Socket;
  readonly deadline: number;
  readonly settled: (result: HandOverResult) => void;
}

/** A worker that takes a session at the last moment still has to be heard. */
const WORD_MS = 1_000;

export class WorkerProcess implements WorkerPort {
  readonly startedAt = monotonicMs();
  readonly #child: ChildProcess;
  readonly #events: WorkerEvents;
  readonly #pending = new Map<string, Pending>();
  /** Sessions that it has or may have. */
  readonly #sessions = new Set<string>();
  readonly #relays = new Map<string, Relay>();
  #relayPath = "";

  constructor(config: Config, events: WorkerEvents) {
    this.#events = events;
    this.#child = fork(PROGRAM, [], {
      execArgv: [...process.execArgv, `--max-old-space-size=${config.workers.memoryMiBMax}`],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      env: { ...process.env, UV_THREADPOOL_SIZE: POOL_THREADS },
    });
    this.#child.on("message", (message) => this.#heard(message as FromWorker));
    // Not "exit": its last words may come after that.
    this.#child.once("close", (code, signal) => {
      if (this.pid !== undefined) this.#ended(signal ?? `exit code ${code}`);
    });
    this.#child.once("error", (error) => {
      if (this.#child.pid === undefined) this.#ended(error.message);
    });
    this.configure(config);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  get relays(): number {
    return this.#relays.size;
  }

  /** Sessions that were sent and not acknowledged. */
  get pending(): number {
    return this.#pending.size;
  }

  configure(config: Config): void {
    this.tell({ type: "configure", version: MESSAGES_VERSION, config });
  }

  tell(message: ToWorker): void {
    // Its end is told by "close".
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  give(record: HandOverRecord, socket: Socket, settled: (result: HandOverResult) => void): void {
    const { deadline } = record;
    const { id, cipher } = record.facts.connection;
    this.#sessions.add(id);
    this.#pending.set(id, { socket, deadline, settled });
    if (cipher !== undefined) {
      const relay = new Relay(this.#relayPath, record, socket, {
        failed: () => {
          this.#relays.delete(id);
          this.#settle(id, "failed");
        },
        ended: () => this.#relays.delete(id),
      });
      this.#relays.set(id, relay);
      return;
    }
    (socket as unknown as { server: null }).server = null;
    this.#child.send(record, socket, { keepOpen: true }, (error) => {
      if (error !== null) this.#settle(id, "failed");
    });
  }

  tick(now: number): void {
    for (const [id, { deadline }] of this.#pending) {
      if (now > deadline + WORD_MS) this.#settle(id, "timedOut");
    }
  }

  #heard(message: FromWorker): void {
    switch (message.type) {
      case "ready":
        this.#relayPath = message.relay;
        this.#events.ready(this);
        break;
      case "taken":
        for (const id of message.ids) this.#settle(id, "taken");
        break;
      case "closed":
        for (const id of message.ids) {
          this.#sessions.delete(id);
          this.#relays.get(id)?.linger();
        }
        this.#events.closed(message.ids);
        break;
      case "counters":
        this.#events.counters(this, message.counters);
        break;
      case "retiring":
        this.#events.retiring(this);
        break;
      default:
        assertNever(message);
    }
  }

  #settle(id: string, result: HandOverResult): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    if (result !== "taken") this.#sessions.delete(id);
    pending.settled(result);
    // A TLS socket goes on here, as one end of its relay.
    if (result === "taken" && !this.#relays.has(id)) pending.socket.destroy();
  }

  #ended(how: string): void {
    // One that was killed could not.
    if (this.#relayPath !== "") removeRelayDirectory(dirname(this.#relayPath));
    for (const id of this.#pending.keys()) this.#settle(id, "lost");
    this.#events.ended(this, how);
  }
}
