/**
 * The front: every connection until it is trusted, in one event loop. A connection whose first recipient was accepted
 * goes to a worker, which answers that recipient; what is refused, bounced, idle or abandoned never gets there.
 *
 * Invariants:
 * - a session is in `#sessions` from its accept until it has ended here or a worker has said that it has it;
 * - `#clients` counts it until it has ended, here or there (`#given`: those that are there).
 *
 * Not here: sockets that are listened on (listeners.ts), processes of workers (worker-processes.ts).
 */
import type { Socket } from "node:net";
import type { SecureContext } from "node:tls";
import type { SMTPServerAddress } from "smtp-server";
import type { Checks, RecipientContext, Verdict } from "../checks/checks.ts";
import type { Config, Limits, Listener } from "../config/config.ts";
import type { AcceptedRecipient } from "../delivery/transaction.ts";
import { handOverRecord } from "../hand-over/record.ts";
import type { HandOverResult, WorkerPool, WorkerPort } from "../hand-over/worker-port.ts";
import type { Log } from "../log/log.ts";
import { monotonicMs } from "../monotonic.ts";
import type { Counters } from "../metrics/counters.ts";
import type { MessageSink } from "../smtp/message-sink.ts";
import type { Protocols } from "../smtp/protocol.ts";
import { replies, type Reason } from "../smtp/replies.ts";
import type { SessionEnd, SessionRole } from "../smtp/session-role.ts";
import { Session } from "../smtp/session.ts";
import type { Released } from "../smtp/client-stream.ts";
import { connectionLine, turnedAwayLine } from "../smtp/connection-line.ts";
import { AddressList } from "./address-list.ts";
import { Clients } from "./clients.ts";
import { SessionIds } from "./session-ids.ts";
import { descriptorsMax, isStressed } from "./stress.ts";

/** A connection holds one; log, listeners, channels and files hold these. */
const OTHER_DESCRIPTORS = 50;

/** What a reload changes. */
export interface FrontSettings {
  readonly config: Config;
  readonly checks: Checks;
  readonly secureContext: SecureContext | undefined;
}

export interface FrontServices {
  readonly protocols: Protocols;
  readonly workers: WorkerPool;
  readonly log: Log;
  readonly counters: Counters;
  /** Called when stress begins or ends. */
  readonly onStress: (isOn: boolean) => void;
}

export class Front implements SessionRole {
  readonly protocols: Protocols;
  readonly #services: FrontServices;
  readonly #ids = new SessionIds();
  readonly #sessions = new Set<Session>();
  readonly #clients = new Clients();
  /** Address of the client, by the id of a session that a worker has. */
  readonly #given = new Map<string, { readonly address: string; readonly port: WorkerPort }>();
  readonly #descriptorsMax = descriptorsMax();
  #settings: FrontSettings;
  #proxies: AddressList;
  #xclients: AddressList;
  #isStress = false;
  #isDraining = false;

  constructor(services: FrontServices, settings: FrontSettings) {
    this.#services = services;
    this.protocols = services.protocols;
    this.#settings = settings;
    this.#proxies = new AddressList(settings.config.proxyFrom);
    this.#xclients = new AddressList(settings.config.xclientFrom);
  }

  get limits(): Limits {
    return this.#settings.config.limits;
  }

  get isStress(): boolean {
    return this.#isStress;
  }

  /** Sessions that are still here. */
  get open(): number {
    return this.#sessions.size;
  }

  configure(settings: FrontSettings): void {
    this.#settings = settings;
    this.#proxies = new AddressList(settings.config.proxyFrom);
    this.#xclients = new AddressList(settings.config.xclientFrom);
    this.protocols.configure(settings.config, settings.secureContext !== undefined);
  }

  accept(socket: Socket, { protocol, address, port }: Listener): void {
    const { remoteAddress, remotePort } = socket;
    // The client has gone already.
    if (remoteAddress === undefined || this.#isDraining) {
      socket.destroy();
      return;
    }
    const endpoints = {
      remoteAddress: plainAddress(remoteAddress),
      remotePort: remotePort ?? 0,
      localAddress: address,
      localPort: port,
    };
    if (this.#sessions.size + this.#given.size >= this.limits.connectionsMax) {
      this.#turnAway(socket, remoteAddress, "tooManyConnections");
      return;
    }
    const session = Session.accept(this, socket, {
      id: this.#ids.next(),
      protocol,
      endpoints,
      expectsProxyHeader: this.#proxies.has(endpoints.remoteAddress),
    });
    this.#sessions.add(session);
  }

  /** Called a few times a second. */
  tick(now: number): void {
    for (const session of this.#sessions) session.tick(now);
    this.#checkStress();
    this.#services.counters.setOpen("front", this.#sessions.size);
  }

  drain(): void {
    this.#isDraining = true;
    for (const session of this.#sessions) session.drain();
  }

  /** A worker's sessions have ended. */
  workerClosed(ids: readonly string[]): void {
    for (const id of ids) {
      const given = this.#given.get(id);
      if (given === undefined) continue;
      this.#given.delete(id);
      this.#clients.remove(given.address);
    }
  }

  /** A worker is gone, and so are its sessions. */
  workerEnded(port: WorkerPort): void {
    const ids = [...this.#given].filter(([, given]) => given.port === port).map(([id]) => id);
    this.workerClosed(ids);
  }

  // Called by the sessions.

  admit(session: Session): Reason | undefined {
    const { admittedAddress, protocol } = session;
    const openOfClient = this.#clients.add(admittedAddress);
    // Other servers of the site bring the connections of many.
    const isUpstream = protocol === "lmtp" || this.#xclients.has(admittedAddress);
    const open = this.#sessions.size + this.#given.size;
    return this.#settings.checks.client(open, isUpstream ? 1 : openOfClient);
  }

  recipient(context: RecipientContext): Verdict | Promise<Verdict> {
    return this.#settings.checks.recipient(context);
  }

  refused(reason: Reason): void {
    this.#services.counters.recipientRefused(reason);
  }

  give(session: Session, recipient: AcceptedRecipient, address: SMTPServerAddress): true {
    const port = this.#chooseWorker();
    if (port === undefined) {
      session.refuse("workersBusy");
      return true;
    }
    const { facts } = session;
    const released = session.release();
    if (released === undefined) {
      session.refuse("handOverFailed");
      return true;
    }
    const deadline = monotonicMs() + this.limits.handOverMs;
    const record = handOverRecord(facts, recipient, address, deadline, released);
    const given = { address: session.admittedAddress, port };
    this.#given.set(session.id, given);
    port.give(record, released.socket, (result) => this.#settled(session, result, released));
    return true;
  }

  message(): MessageSink {
    throw new Error("the front takes no message");
  }

  mayXclient(address: string): boolean {
    return this.#xclients.has(address);
  }

  secureContext(): SecureContext {
    const { secureContext } = this.#settings;
    if (secureContext === undefined) throw new Error("STARTTLS without a certificate");
    return secureContext;
  }

  failed(session: Session, error: unknown): void {
    this.#services.log.error("fault", { session: session.id, error: String(error) });
  }

  ended(session: Session, end: SessionEnd): void {
    if (!this.#sessions.delete(session)) return;
    if (end === "handedOver") return;
    if (session.isAdmitted) this.#clients.remove(session.admittedAddress);
    this.#services.counters.connectionEnded(end);
    this.#services.log.connection(connectionLine(session, end, "front"));
  }

  #settled(session: Session, result: HandOverResult, { unwritten }: Released): void {
    this.#services.counters.handOver(result === "lost" ? "failed" : result);
    if (result === "taken") {
      session.given();
      return;
    }
    this.#given.delete(session.id);
    session.givenInVain("handOverFailed", result === "failed" ? unwritten : "");
  }

  /** Without a session: this has to stay cheap. */
  #turnAway(socket: Socket, client: string, reason: Reason): void {
    const { code, text } = replies[reason];
    socket.on("error", () => socket.destroy());
    socket.end(`${code} ${text}\r\n`);
    socket.destroySoon();
    this.#services.counters.connectionEnded(reason);
    this.#services.log.connection(turnedAwayLine(this.#ids.next(), client, reason));
  }

  /** The one with the fewest sessions; undefined when all are full. */
  #chooseWorker(): WorkerPort | undefined {
    let best: WorkerPort | undefined;
    for (const port of this.#services.workers.ports) {
      if (port.sessions >= this.#settings.config.workers.connectionsMax) continue;
      if (best === undefined || port.sessions < best.sessions) best = port;
    }
    return best;
  }

  /** A relayed connection takes two. */
  #descriptors(): number {
    let relays = 0;
    for (const port of this.#services.workers.ports) relays += port.relays;
    return this.#sessions.size + 2 * relays + OTHER_DESCRIPTORS;
  }

  #checkStress(): void {
    const { config } = this.#settings;
    const connections = this.#sessions.size + this.#given.size;
    const uses = [
      { used: connections, max: config.limits.connectionsMax },
      { used: this.#descriptors(), max: this.#descriptorsMax },
      { used: this.#given.size, max: config.workers.count * config.workers.connectionsMax },
    ];
    const isStress = isStressed(uses, config.limits, this.#isStress);
    if (isStress === this.#isStress) return;
    this.#isStress = isStress;
    this.#services.log.warn(isStress ? "stress begins" : "stress ends", { connections });
    this.#services.onStress(isStress);
  }
}

/** An IPv4 client of a socket that listens on both. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
