/**
 * The hub of one client connection: it alone touches the socket, the protocol (connection.ts) and the role that the
 * process plays. One command is carried out at a time, so between two of them the whole session is its plain facts
 * and the bytes that were not looked at.
 *
 * | state    | what is awaited                                          | next             |
 * | -------- | -------------------------------------------------------- | ---------------- |
 * | proxy    | the line of a PROXY header                               | greeting         |
 * | greeting | the end of the greeting delay; input makes early talkers | command          |
 * | command  | a command line, or the end of the one that is carried out | data, tls, given |
 * | data     | content of a message, or the answer to a whole one       | command          |
 * | tls      | the end of a handshake                                   | command          |
 * | given    | nothing: the socket belongs to another process           |                  |
 * | ended    | that the client takes the last reply and closes          |                  |
 *
 * Time comes from outside: `tick` is called a few times a second for all sessions.
 *
 * Not here: who may do what (checks.ts), where messages go (message-sink.ts), sockets that are accepted or passed.
 */
import type { Socket } from "node:net";
import type { CipherNameAndProtocol } from "node:tls";
import type { SMTPServerAddress } from "smtp-server";
import { assert, InvariantError } from "../../base/assert.ts";
import type { Verdict } from "../checks/checks.ts";
import { monotonicMs } from "../monotonic.ts";
import { ClientStream, type Released, type StreamOwner } from "./client-stream.ts";
import { Connection, type ConnectionHost, type Endpoints } from "./connection.ts";
import { declaredSize, Envelope } from "./envelope.ts";
import { Intake } from "./intake.ts";
import { LineGate } from "./line-gate.ts";
import type { DataDone, Protocol, ProtocolHandlers, RecipientDone } from "./protocol.ts";
import { readProxyHeader } from "./proxy-header.ts";
import { replies, replyError, type Reason, type Reply } from "./replies.ts";
import { overdue, SessionLimits, type SessionCounts } from "./session-limits.ts";
import type { SessionEnd, SessionFacts, SessionRecipient, SessionRole } from "./session-role.ts";
import { utf8Fault } from "./utf8.ts";

type State = "proxy" | "greeting" | "command" | "data" | "tls" | "given" | "ended";

/** More than this is not read while a command or a write is waited for. */
const UNREAD_BYTES_MAX = 64 * 1024;
/** After so many commands in a row other sessions have their turn. */
const COMMANDS_IN_A_ROW = 100;
/** First of the codes 4xx and 5xx. */
const ERROR_DIGIT = 0x34;
const SLOW_MS = 1_000;
/** For the client to take the last reply and close. */
const LINGER_MS = 5_000;

export class Session implements ConnectionHost, ProtocolHandlers, StreamOwner {
  readonly id: string;
  readonly protocol: Protocol;
  readonly startedAt: number;
  readonly limits: SessionLimits;
  readonly #role: SessionRole;
  readonly #gate: LineGate;
  readonly #stream: ClientStream;
  #connection: Connection | undefined;
  #endpoints: Endpoints;
  #state: State;
  #envelope = new Envelope();
  #intake: Intake | undefined;
  #refusedRecipients: number;
  /** A command is carried out, content is taken, or a message is answered. */
  #isBusy = false;
  /** Others have their turn first. */
  #isTurnDue = false;
  /** The client has made many errors and waits. */
  #isSlowed = false;
  #isPumping = false;
  #isDraining = false;
  #end: SessionEnd | undefined;
  #isReported = false;
  #isAdmitted = false;
  /** Since when the client owes us something, or we linger. */
  #waitingSince: number;
  #isUsed = false;
  /** The reply that is written now is an error that is not held against the client. */
  #isForgiven = false;

  private constructor(
    role: SessionRole,
    socket: Socket,
    first: {
      id: string;
      protocol: Protocol;
      startedAt: number;
      endpoints: Endpoints;
      state: State;
      counts?: SessionCounts;
      refusedRecipients?: number;
    },
  ) {
    this.#role = role;
    this.id = first.id;
    this.protocol = first.protocol;
    this.startedAt = first.startedAt;
    this.limits = new SessionLimits(first.counts);
    this.#refusedRecipients = first.refusedRecipients ?? 0;
    this.#endpoints = first.endpoints;
    this.#state = first.state;
    this.#gate = new LineGate(role.limits.commandBytesMax);
    this.#waitingSince = monotonicMs();
    this.#stream = new ClientStream(this, socket);
  }

  /** A connection that was just accepted. */
  static accept(
    role: SessionRole,
    socket: Socket,
    options: { id: string; protocol: Protocol; endpoints: Endpoints; expectsProxyHeader: boolean },
  ): Session {
    const state = options.expectsProxyHeader ? "proxy" : "greeting";
    const session = new Session(role, socket, { ...options, startedAt: monotonicMs(), state });
    if (state === "greeting") session.#admit();
    return session;
  }

  /** A session that began in another process; its first recipient is answered here. */
  static resume(
    role: SessionRole,
    socket: Socket,
    facts: SessionFacts,
    first: SessionRecipient,
    { unread, unwritten }: { readonly unread: Buffer; readonly unwritten: string },
  ): Session {
    const { connection, ...own } = facts;
    const session = new Session(role, socket, {
      ...own,
      id: connection.id,
      endpoints: connection,
      state: "command",
    });
    session.#stream.write(unwritten);
    const server = role.protocols.server(own.protocol);
    session.#connection = Connection.restore(server, session, connection, first.address);
    role.protocols.attach(session.#connection.session, session);
    session.#envelope.add(first);
    if (unread.length > 0) session.#gate.push(unread);
    session.#pump();
    return session;
  }

  /** As a proxy tells it; XCLIENT may tell better. */
  get clientAddress(): string {
    return this.#connection?.remoteAddress ?? this.#endpoints.remoteAddress;
  }

  /** Of the connection that was accepted, before any XCLIENT. */
  get admittedAddress(): string {
    return this.#endpoints.remoteAddress;
  }

  /** Whether the role was asked to admit it: not before the line of a proxy has come. */
  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }

  get connection(): Connection {
    assert(this.#connection !== undefined, "a session that was greeted has a connection");
    return this.#connection;
  }

  /** Undefined before the greeting. */
  get helo(): string | undefined {
    const name = this.#connection?.hostNameAppearsAs;
    return typeof name === "string" ? name : undefined;
  }

  get cipher(): CipherNameAndProtocol | undefined {
    const cipher = this.#connection?.tlsOptions;
    return cipher === undefined || cipher === false ? undefined : cipher;
  }

  get refusedRecipients(): number {
    return this.#refusedRecipients;
  }

  get recipients(): readonly SessionRecipient[] {
    return this.#envelope.recipients;
  }

  get facts(): SessionFacts {
    const { protocol, startedAt, refusedRecipients } = this;
    const connection = this.connection.facts();
    return { protocol, startedAt, connection, counts: this.limits.counts, refusedRecipients };
  }

  /** Time has passed. */
  tick(now: number): void {
    if (this.#state === "given" || this.#intake?.isAnswering === true) return;
    const waitedMs = now - this.#waitingSince;
    if (this.#state === "ended") {
      if (waitedMs > LINGER_MS) this.#stream.destroy();
      return;
    }
    const { limits, isStress } = this.#role;
    const isAtWork = this.#isBusy && this.#state !== "tls" && !this.#stream.isFull;
    const waiting = {
      sessionMs: now - this.startedAt,
      waitedMs,
      isOwedNothing: isAtWork || this.#state === "data",
      isUnused: this.#isUsed && this.#envelope.recipients.length === 0,
    };
    const isTooSlow = this.#intake?.isTooSlow(now, limits) === true;
    const reason = isTooSlow ? "dataTooSlow" : overdue(waiting, limits, isStress);
    if (reason !== undefined) this.refuse(reason);
  }

  /** Ends as soon as no message is under way. */
  drain(): void {
    this.#isDraining = true;
    this.#endIfDrained();
  }

  /** Says why and ends. */
  refuse(reason: Reason): void {
    if (this.#state === "ended" || this.#state === "given") return;
    this.#end ??= reason;
    if (this.#state === "tls") {
      this.#stream.destroy();
      return;
    }
    const { code, text }: Reply = replies[reason];
    this.#stream.write(`${code} ${text}\r\n`);
    this.end();
  }

  /**
   * Gives the socket away: nothing more is read or written here. Undefined when it cannot be, because the client is
   * gone or has not taken what was written.
   */
  release(): Released | undefined {
    const released = this.#stream.release();
    if (released === undefined) return undefined;
    this.#state = "given";
    if (released.unread.length > 0) this.#gate.push(released.unread);
    return { ...released, unread: this.#gate.takeRest() };
  }

  /** What was released went to its new process. */
  given(): void {
    this.#report("handedOver");
  }

  /**
   * What was released could not be given: the client is told, and the connection ends. `unwritten`: the replies that were
   * released, if it is certain that nobody else has written them. A second 250 would be taken for the answer to
   * whatever the client has sent since; a 421 is right anywhere.
   */
  givenInVain(reason: Reason, unwritten: string): void {
    this.#state = "command";
    this.#stream.write(unwritten);
    this.#stream.takeBack();
    this.refuse(reason);
  }

  // Called by the connection.

  write(reply: string): void {
    this.#stream.write(reply);
    if (this.#state !== "command" || reply.charCodeAt(0) < ERROR_DIGIT) return;
    if (this.#isForgiven) return;
    if (reply.startsWith("421")) this.#end ??= "protocolError";
    const verdict = this.limits.error(this.#role.limits, this.#role.isStress);
    if (verdict === "end") this.refuse("tooManyErrors");
    else if (verdict === "slow") this.#slowDown();
  }

  end(): void {
    if (this.#state === "ended") return;
    this.#end ??= "quit";
    this.#abortMessage();
    this.#state = "ended";
    this.#waitingSince = monotonicMs();
    // A reset, which what still comes would cause, may take the reply to a message with it.
    const isPolite = this.#end === "quit" && this.#gate.length === 0;
    this.#stream.end(isPolite && this.limits.messages === 0);
  }

  startTls(): void {
    // What came in the clear behind STARTTLS is never looked at (RFC 3207 section 4.2).
    this.#gate.takeRest();
    this.#state = "tls";
    this.#waitingSince = monotonicMs();
    this.#stream.startTls(this.#role.secureContext(), (cipher) => {
      if (this.#state !== "tls") return;
      this.#state = "command";
      this.connection.secured(cipher, false);
      this.#pump();
    });
  }

  resetTransaction(): void {
    this.#envelope = new Envelope();
  }

  mayXclient(address: string): boolean {
    return this.#role.mayXclient(address);
  }

  // Called by the protocol's handlers.

  recipient(address: SMTPServerAddress, done: RecipientDone): void {
    const { recipients, mailboxes } = this.#envelope;
    if (recipients.length >= this.#role.limits.recipientsMax) {
      this.#isForgiven = !this.limits.overshoot();
      this.#refuseRecipient("tooManyRecipients", done);
      this.#isForgiven = false;
      return;
    }
    const settle = (verdict: Verdict): void => this.#judged(verdict, address, done);
    const verdict = this.#role.recipient({
      clientAddress: this.clientAddress,
      address: address.address,
      sizeBytes: declaredSize(this.connection.session.envelope),
      mailboxes,
    });
    if (!(verdict instanceof Promise)) settle(verdict);
    else verdict.then(settle).catch((error: unknown) => this.#failed(error));
  }

  data(done: DataDone): void {
    this.#intake = new Intake(this.#role.message(this), done);
    this.#state = "data";
  }

  // Called by the stream.

  received(chunk: Buffer): void {
    if (this.#state === "ended") return;
    if (this.#state === "greeting") {
      this.refuse("earlyTalker");
      return;
    }
    this.#gate.push(chunk);
    this.#pump();
  }

  inputOver(): void {
    this.#pump();
  }

  drained(): void {
    this.#pump();
  }

  closed(): void {
    this.#end ??= this.#endOfClient();
    this.#abortMessage();
    this.#state = "ended";
    this.#report(this.#end);
  }

  // Its own.

  #admit(): void {
    this.#state = "greeting";
    this.#isAdmitted = true;
    const reason = this.#role.admit(this);
    if (reason !== undefined) {
      this.refuse(reason);
      return;
    }
    const delayMs = this.#role.limits.greetingDelayMs;
    // Two turns of the event loop: what the client sent with its first packets is read in between.
    if (delayMs === 0) setImmediate(() => setImmediate(() => this.#greet()));
    else setTimeout(() => this.#greet(), delayMs).unref();
  }

  #greet(): void {
    if (this.#state !== "greeting") return;
    this.#state = "command";
    const server = this.#role.protocols.server(this.protocol);
    const connection = Connection.fresh(server, this, { id: this.id, ...this.#endpoints });
    this.#connection = connection;
    this.#role.protocols.attach(connection.session, this);
    connection.greet();
    this.#waitingSince = monotonicMs();
    this.#pump();
  }

  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    let commands = 0;
    while (!this.#isWaiting()) {
      if (this.#state === "command") {
        if (commands++ === COMMANDS_IN_A_ROW) {
          this.#isTurnDue = true;
          setImmediate(() => {
            this.#isTurnDue = false;
            this.#pump();
          });
          break;
        }
        if (!this.#command()) break;
      } else if (this.#state === "data") {
        if (!this.#content(this.#intake!)) break;
      } else if (this.#state === "proxy") {
        if (!this.#proxyHeader()) break;
      } else break;
    }
    this.#isPumping = false;
    if (this.#state === "given" || this.#state === "ended") return;
    this.#stream.flush();
    this.#flow();
  }

  /** Carries out one command; false when none is whole. */
  #command(): boolean {
    const command = this.#gate.next();
    if (command === undefined) return false;
    this.#waitingSince = monotonicMs();
    if (command.kind === "bareNewline") return this.#complain("commandBareNewline");
    if (command.kind === "tooLong") return this.#complain("commandTooLong");
    const { line } = command;
    const reason = this.limits.command(nameOf(line), this.#role.limits);
    if (reason !== undefined) {
      this.refuse(reason);
      return false;
    }
    const fault = utf8Fault(line, this.connection.session.envelope.smtpUtf8 === true);
    if (fault !== undefined) return this.#complain(fault);
    this.#isBusy = true;
    this.connection.command(line, () => {
      this.#isBusy = false;
      this.#waitingSince = monotonicMs();
      this.#endIfDrained();
      if (!this.#isPumping) this.#pump();
    });
    return true;
  }

  #complain(reason: Reason): true {
    const { code, text } = replies[reason];
    this.write(`${code} ${text}\r\n`);
    return true;
  }

  /** One piece of content; false when there is none. */
  #content(intake: Intake): boolean {
    const bytes = this.#gate.takeRest();
    if (bytes.length === 0) return false;
    const { rest, settled } = intake.take(bytes);
    if (rest !== undefined) this.#gate.push(rest);
    if (settled === undefined) return true;
    this.#isBusy = true;
    settled
      .then(() => {
        this.#isBusy = false;
        if (intake.isAnswering) this.#answer(intake);
        this.#endIfDrained();
        this.#pump();
      })
      .catch((error: unknown) => this.#failed(error));
    return true;
  }

  #answer(intake: Intake): void {
    this.#intake = undefined;
    this.limits.message();
    this.#isUsed = true;
    // The client may have gone: its reply goes nowhere, the message stays.
    if (this.#state !== "data") return;
    intake.answer(this.protocol);
    this.#state = "command";
    this.#waitingSince = monotonicMs();
  }

  /** The header's line goes past the gate: it has a limit of its own, and bytes behind it are early. */
  #proxyHeader(): boolean {
    const bytes = this.#gate.takeRest();
    const header = readProxyHeader(bytes);
    if (header.kind === "incomplete") {
      if (bytes.length > 0) this.#gate.push(bytes);
      return false;
    }
    if (header.kind === "invalid") {
      this.refuse("proxyHeaderInvalid");
      return false;
    }
    if (header.kind === "client") this.#endpoints = header.endpoints;
    this.#admit();
    const early = bytes.subarray(bytes.indexOf("\n") + 1);
    if (early.length > 0) this.received(early);
    return false;
  }

  #judged(verdict: Verdict, address: SMTPServerAddress, done: RecipientDone): void {
    // The client may have gone while its recipient was looked up.
    if (this.#state !== "command") return;
    if (verdict.kind === "refused") {
      this.#refuseRecipient(verdict.reason, done);
      return;
    }
    const { recipient } = verdict;
    if (this.#role.give(this, recipient, address)) return;
    this.#envelope.add({ recipient, address });
    done();
  }

  #refuseRecipient(reason: Reason, done: RecipientDone): void {
    this.#refusedRecipients++;
    this.#role.refused(reason);
    done(replyError(reason));
  }

  #slowDown(): void {
    if (this.#isSlowed) return;
    this.#isSlowed = true;
    setTimeout(() => {
      this.#isSlowed = false;
      this.#pump();
    }, SLOW_MS).unref();
  }

  #isWaiting(): boolean {
    return this.#isBusy || this.#isSlowed || this.#isTurnDue || this.#stream.isFull;
  }

  #endIfDrained(): void {
    if (!this.#isDraining || this.#isBusy || this.#state === "data") return;
    if (this.#envelope.recipients.length === 0) this.refuse("shuttingDown");
  }

  /** Reads on, or not; a client that has closed its side is done when its commands are. */
  #flow(): void {
    const isWaiting = this.#isWaiting();
    if (isWaiting && this.#gate.length >= UNREAD_BYTES_MAX) this.#stream.pause();
    else this.#stream.resume();
    if (this.#stream.isInputOver && !isWaiting && this.#state !== "tls") {
      this.#end ??= this.#endOfClient();
      this.end();
    }
  }

  #endOfClient(): SessionEnd {
    return this.#state === "data" ? "closedInData" : "closed";
  }

  #abortMessage(): void {
    this.#intake?.abort();
    if (this.#intake?.isAnswering !== true) this.#intake = undefined;
  }

  #report(end: SessionEnd): void {
    if (this.#isReported) return;
    this.#isReported = true;
    this.#role.ended(this, end);
  }

  /** A fault of this program: it ends this session alone, but a broken invariant ends the process. */
  #failed(error: unknown): void {
    if (error instanceof InvariantError) {
      process.nextTick(() => {
        throw error;
      });
      return;
    }
    this.#role.failed(this, error);
    this.#intake = undefined;
    this.refuse("internalError");
  }
}

function nameOf(line: Buffer): string {
  const end = line.indexOf(0x20);
  return line.toString("latin1", 0, end === -1 ? line.length : end).toUpperCase();
}
