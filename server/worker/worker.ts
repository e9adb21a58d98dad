/**
 * The worker: trusted sessions, until they end. It may be killed at any moment: a message is delivered by one request
 * to the spool, or not at all, and its clients see a closed connection.
 *
 * Not here: how sessions come (main.ts, relay-listener.ts) and messages go (message.ts, server/delivery).
 */
import type { Socket } from "node:net";
import { assert } from "../../base/assert.ts";
import type { Checks, RecipientContext, Verdict } from "../checks/checks.ts";
import type { Config, Limits } from "../config/config.ts";
import type { Delivery } from "../delivery/delivery.ts";
import { AddressList } from "../front/address-list.ts";
import { HAND_OVER_VERSION, unreadOf, type HandOverRecord } from "../hand-over/record.ts";
import type { Log } from "../log/log.ts";
import { monotonicMs } from "../monotonic.ts";
import type { Counters } from "../metrics/counters.ts";
import { connectionLine } from "../smtp/connection-line.ts";
import type { MessageSink } from "../smtp/message-sink.ts";
import type { Protocols } from "../smtp/protocol.ts";
import type { Reason } from "../smtp/replies.ts";
import type { SessionEnd, SessionRole } from "../smtp/session-role.ts";
import { Session } from "../smtp/session.ts";
import { WorkerMessage, type MessageReport } from "./message.ts";
import { StoreWatch } from "./store-watch.ts";
import { messageLine } from "./message-line.ts";
import { transactionOf } from "./transaction-of.ts";

/** What a reload changes: messages that are under way keep what they began with. */
export interface WorkerSettings {
  readonly config: Config;
  readonly checks: Checks;
  readonly delivery: Delivery;
}

export interface WorkerServices {
  readonly protocols: Protocols;
  readonly log: Log;
  readonly counters: Counters;
  readonly onEnded: (id: string) => void;
}

export class Worker implements SessionRole {
  readonly protocols: Protocols;
  isStress = false;
  readonly #services: WorkerServices;
  readonly #storeWatch: StoreWatch;
  readonly #sessions = new Set<Session>();
  #settings: WorkerSettings;
  #xclients: AddressList;
  #messages = 0;
  #underWay = 0;
  #isDraining = false;

  constructor(services: WorkerServices, settings: WorkerSettings) {
    this.#services = services;
    this.#storeWatch = new StoreWatch(services.log);
    this.protocols = services.protocols;
    this.#settings = settings;
    this.#xclients = new AddressList(settings.config.xclientFrom);
  }

  get limits(): Limits {
    return this.#settings.config.limits;
  }

  get open(): number {
    return this.#sessions.size;
  }

  /** Messages that are not answered yet, or not logged. */
  get underWay(): number {
    return this.#underWay;
  }

  /** Messages that were answered, or broken off. */
  get messages(): number {
    return this.#messages;
  }

  configure(settings: WorkerSettings): void {
    this.#settings = settings;
    this.#xclients = new AddressList(settings.config.xclientFrom);
    this.protocols.configure(settings.config, false);
  }

  /** False: it came too late, and its client has been told so. */
  take(record: HandOverRecord, socket: Socket): boolean {
    assert(record.version === HAND_OVER_VERSION, "front and worker are of one version");
    if (monotonicMs() > record.deadline) {
      socket.destroy();
      return false;
    }
    const { facts, recipient, address, unwritten } = record;
    const session = Session.resume(
      this,
      socket,
      facts,
      { recipient, address },
      { unread: unreadOf(record), unwritten },
    );
    this.#sessions.add(session);
    if (this.#isDraining) session.drain();
    return true;
  }

  /** Called a few times a second. */
  tick(now: number): void {
    for (const session of this.#sessions) session.tick(now);
    this.#services.counters.setOpen("worker", this.#sessions.size);
    this.#services.counters.setQueue("deliveries", this.#underWay);
  }

  drain(): void {
    this.#isDraining = true;
    for (const session of this.#sessions) session.drain();
  }

  // Called by the sessions.

  admit(): undefined {
    return undefined;
  }

  recipient(context: RecipientContext): Verdict | Promise<Verdict> {
    return this.#settings.checks.recipient(context);
  }

  refused(reason: Reason): void {
    this.#services.counters.recipientRefused(reason);
  }

  give(): false {
    return false;
  }

  message(session: Session): MessageSink {
    this.#underWay++;
    const { config, delivery } = this.#settings;
    const transaction = transactionOf(session);
    return new WorkerMessage(config, delivery, session.protocol, transaction, (report) =>
      this.#ended(session, report),
    );
  }

  mayXclient(address: string): boolean {
    return this.#xclients.has(address);
  }

  secureContext(): never {
    throw new Error("a worker has no certificate");
  }

  failed(session: Session, error: unknown): void {
    const text = error instanceof Error ? error.stack : String(error);
    this.#services.log.error("fault", { session: session.id, error: text });
  }

  ended(session: Session, end: SessionEnd): void {
    if (!this.#sessions.delete(session)) return;
    this.#services.counters.connectionEnded(end);
    this.#services.log.connection(connectionLine(session, end, "worker"));
    this.#services.onEnded(session.id);
  }

  #ended(session: Session, report: MessageReport | undefined): void {
    this.#underWay--;
    this.#messages++;
    if (report === undefined) return;
    const { stored, result, recipientsStored: recipients } = report;
    this.#services.counters.message(result, stored && { recipients, ...stored });
    this.#services.log.message(messageLine(session, report));
    this.#storeWatch.answered(result, report.detail);
  }
}
