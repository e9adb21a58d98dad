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
import { assert } from "../../base/assert.ts";
import type { Verdict } from "../checks/checks.ts";
import { ClientStream, type Released, type StreamOwner } from "./client-stream.ts";
import { Connection, type ConnectionHost, type Endpoints } from "./connection.ts";
import { LineGate } from "./line-gate.ts";
import type { DataDone, Protocol, ProtocolHandlers } from "./protocol.ts";
import { parseProxyHeader, PROXY_HEADER_BYTES_MAX } from "./proxy-header.ts";
import { replies, replyError, type Reason, type Reply } from "./replies.ts";
import { SessionLimits, type SessionCounts } from "./session-limits.ts";
import type { SessionEnd, SessionFacts, SessionRecipient, SessionRole } from "./session-role.ts";
import { Transfer } from "./transfer.ts";
import { utf8Fault } from "./utf8.ts";

type State = "proxy" | "greeting" | "command" | "data" | "tls" | "given" | "ended";

/** More than this is not read while a command or a write is waited for. */
const UNREAD_BYTES_MAX = 64 * 1024;
/** After so many commands in a row other sessions have their turn. */
const COMMANDS_IN_A_ROW = 100;
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
  #recipients: SessionRecipient[] = [];
  #mailboxes = 0;
  #refusedRecipients = 0;
  /** A command is carried out, content is taken, or a message is answered. */
  #isBusy = false;
  #isAnswering = false;
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
  #transfer: Transfer | undefined;

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
    },
  ) {
    this.#role = role;
    this.id = first.id;
    this.protocol = first.protocol;
    this.startedAt = first.startedAt;
    this.limits = new SessionLimits(first.counts);
    this.#endpoints = first.endpoints;
    this.#state = first.state;
    this.#gate = new LineGate(role.limits.commandBytesMax);
    this.#waitingSince = Date.now();
    this.#stream = new ClientStream(this, socket);
  }

  /** A connection that was just accepted. */
  static accept(
    role: SessionRole,
    socket: Socket,
    options: { id: string; protocol: Protocol; endpoints: Endpoints; expectsProxyHeader: boolean },
  ): Session {
    const state = options.expectsProxyHeader ? "proxy" : "greeting";
    const session = new Session(role, socket, { ...options, startedAt: Date.now(), state });
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
    session.#accept(first);
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
    return this.#recipients;
  }

  get facts(): SessionFacts {
    const { protocol, startedAt } = this;
    return { protocol, startedAt, connection: this.connection.facts(), counts: this.limits.counts };
  }

  /** Time has passed. */
  tick(now: number): void {
    const waited = now - this.#waitingSince;
    if (this.#state === "given") return;
    if (this.#state === "ended") {
      if (waited > LINGER_MS) this.#stream.destroy();
      return;
    }
    const { limits, isStress } = this.#role;
    if (this.#isAnswering) return;
    if (now - this.startedAt > limits.sessionMs) this.refuse("sessionTimeout");
    else if (this.#transfer !== undefined) {
      if (this.#transfer.isTooSlow(now, limits)) this.refuse("dataTooSlow");
    } else if (!this.#isBusy || this.#stream.isFull) {
      const commandMs = isStress ? limits.stressCommandMs : limits.commandMs;
      const isUnused = this.#isUsed && this.#recipients.length === 0;
      const unusedMs = Math.min(limits.unusedMs, commandMs);
      if (waited > (isUnused ? unusedMs : commandMs)) {
        this.refuse(isUnused ? "unused" : "commandTimeout");
      }
    }
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

  /** What was released could not be given: the client is told, and the connection ends. */
  givenInVain(reason: Reason): void {
    this.#state = "command";
    this.#stream.takeBack();
    this.refuse(reason);
  }

  // Called by the connection.

  write(reply: string): void {
    this.#stream.write(reply);
    if (this.#state !== "command" || reply.charCodeAt(0) < 0x34) return;
    const verdict = this.limits.error(this.#role.limits, this.#role.isStress);
    if (verdict === "end") this.refuse("tooManyErrors");
    else if (verdict === "slow") this.#slowDown();
  }

  end(): void {
    if (this.#state === "ended") return;
    this.#end ??= "quit";
    this.#abortMessage();
    this.#state = "ended";
    this.#waitingSince = Date.now();
    this.#stream.end(this.#end === "quit" && this.#gate.length === 0);
  }

  startTls(): void {
    // What came in the clear behind STARTTLS is never looked at (RFC 3207 section 4.2).
    this.#gate.takeRest();
    this.#state = "tls";
    this.#waitingSince = Date.now();
    this.#stream.startTls(this.#role.secureContext(), (cipher) => {
      if (this.#state !== "tls") return;
      this.#state = "command";
      this.connection.secured(cipher, false);
      this.#pump();
    });
  }

  resetTransaction(): void {
    this.#recipients = [];
    this.#mailboxes = 0;
  }

  mayXclient(address: string): boolean {
    return this.#role.mayXclient(address);
  }

  // Called by the protocol's handlers.

  recipient(address: SMTPServerAddress, done: (error?: Error | null) => void): void {
    const settle = (verdict: Verdict): void => this.#judged(verdict, address, done);
    const verdict = this.#role.recipient({
      clientAddress: this.clientAddress,
      address: address.address,
      sizeBytes: sizeOf(this.connection),
      mailboxes: this.#mailboxes,
    });
    if (!(verdict instanceof Promise)) settle(verdict);
    else verdict.then(settle).catch((error: unknown) => this.#failed(error));
  }

  data(done: DataDone): void {
    this.#transfer = new Transfer(this.#role.message(this), done);
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
    this.#waitingSince = Date.now();
    this.#pump();
  }

  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    let commands = 0;
    while (!this.#isWaiting()) {
      if (this.#state === "command") {
        if (commands++ === COMMANDS_IN_A_ROW) {
          setImmediate(() => this.#pump());
          break;
        }
        if (!this.#command()) break;
      } else if (this.#state === "data") {
        if (!this.#content(this.#transfer!)) break;
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
    this.#waitingSince = Date.now();
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
      this.#waitingSince = Date.now();
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
  #content(transfer: Transfer): boolean {
    const bytes = this.#gate.takeRest();
    if (bytes.length === 0) return false;
    const { rest, taken, isEnd } = transfer.take(bytes);
    if (rest !== undefined) this.#gate.push(rest);
    if (taken === undefined && !isEnd) return true;
    this.#isBusy = true;
    this.#isAnswering = isEnd;
    const settled = isEnd ? this.#answer(transfer, taken) : taken!;
    settled
      .then(() => {
        this.#isBusy = false;
        this.#isAnswering = false;
        this.#endIfDrained();
        this.#pump();
      })
      .catch((error: unknown) => this.#failed(error));
    return true;
  }

  async #answer(transfer: Transfer, taken: Promise<void> | undefined): Promise<void> {
    await taken;
    const results = await transfer.finish();
    this.#transfer = undefined;
    this.limits.message();
    this.#isUsed = true;
    // The client may have gone: its reply goes nowhere, the message stays.
    if (this.#state !== "data") return;
    transfer.answer(results, this.protocol);
    this.#state = "command";
    this.#waitingSince = Date.now();
  }

  /** The header's line goes past the gate: it has a limit of its own, and bytes behind it are early. */
  #proxyHeader(): boolean {
    const bytes = this.#gate.takeRest();
    const end = bytes.indexOf("\r\n");
    if (end === -1 && bytes.length <= PROXY_HEADER_BYTES_MAX - 2) {
      if (bytes.length > 0) this.#gate.push(bytes);
      return false;
    }
    const header = parseProxyHeader(bytes.toString("latin1", 0, Math.max(end, 0)));
    if (header.kind === "invalid" || end + 2 > PROXY_HEADER_BYTES_MAX) {
      this.refuse("proxyHeaderInvalid");
      return false;
    }
    if (header.kind === "client") {
      const { address: remoteAddress, port: remotePort, localAddress, localPort } = header;
      this.#endpoints = { remoteAddress, remotePort, localAddress, localPort };
    }
    this.#admit();
    const early = bytes.subarray(end + 2);
    if (early.length > 0) this.received(early);
    return false;
  }

  #judged(
    verdict: Verdict,
    address: SMTPServerAddress,
    done: (error?: Error | null) => void,
  ): void {
    // The client may have gone while its recipient was looked up.
    if (this.#state !== "command") return;
    if (verdict.kind === "refused") {
      this.#refusedRecipients++;
      this.#role.refused(verdict.reason);
      done(replyError(verdict.reason));
      return;
    }
    const { recipient } = verdict;
    if (this.#role.give(this, recipient, address)) return;
    this.#accept({ recipient, address });
    done();
  }

  #accept(accepted: SessionRecipient): void {
    this.#recipients.push(accepted);
    this.#mailboxes += accepted.recipient.mailboxes.length;
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
    return this.#isBusy || this.#isSlowed || this.#stream.isFull;
  }

  #endIfDrained(): void {
    if (!this.#isDraining || this.#isBusy || this.#state === "data") return;
    if (this.#recipients.length === 0) this.refuse("shuttingDown");
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
    // A message that is being answered is left alone: it may be durable already.
    if (this.#isAnswering) return;
    this.#transfer?.abort();
    this.#transfer = undefined;
  }

  #report(end: SessionEnd): void {
    if (this.#isReported) return;
    this.#isReported = true;
    this.#role.ended(this, end);
  }

  /** A fault of this program: it ends this session alone. */
  #failed(error: unknown): void {
    this.#role.failed(this, error);
    this.#isAnswering = false;
    this.refuse("internalError");
  }
}

function nameOf(line: Buffer): string {
  const end = line.indexOf(0x20);
  return line.toString("latin1", 0, end === -1 ? line.length : end).toUpperCase();
}

/** SIZE of MAIL (RFC 1870), 0 if it was not given. */
function sizeOf({ session }: Connection): number {
  const { mailFrom } = session.envelope;
  const args = mailFrom === false ? false : mailFrom.args;
  return Number((args as Record<string, unknown> | false)?.["SIZE" as never] ?? 0);
}
