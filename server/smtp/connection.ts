/**
 * smtp-server's connection without its socket and without its parser: it is given one command line at a time and
 * gives back replies. Everything that touches the inner fields of smtp-server stands in this file; a contract test
 * (test/smtp-contract.test.ts) fails when another version of it has other ones.
 *
 * The protocol's state can be taken out (`facts`) and put into another connection in another process (`restore`):
 * that is what makes a hand-over in the middle of a session possible.
 *
 * Not here: bytes and lines (line-gate.ts), the content of messages (data-reader.ts), limits and time (session.ts).
 */
import type { Socket } from "node:net";
import type { CipherNameAndProtocol } from "node:tls";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import type { SMTPServer, SMTPServerAddress, SMTPServerSession } from "smtp-server";

/** What drives a connection: the only one that it calls. */
export interface ConnectionHost {
  /** One whole reply, line ends included. */
  write(reply: string): void;
  /** No more commands; close when everything is written. */
  end(): void;
  /** Make the socket a TLS one, then call `connection.secured`. */
  startTls(): void;
  /** A new transaction: MAIL, RCPT and their parameters are forgotten. */
  resetTransaction(): void;
  /** May this client use XCLIENT? */
  mayXclient(address: string): boolean;
}

/** Who is connected, as the socket or a proxy tells. */
export interface Endpoints {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

type Envelope = SMTPServerSession["envelope"];

/** The state of the protocol between two commands, as plain data. */
export interface ConnectionFacts extends Endpoints {
  readonly id: string;
  /** Of the peer that XCLIENT came from. */
  readonly originalRemoteAddress: string;
  readonly clientHostname: string | false;
  readonly openingCommand: string | false;
  readonly hostNameAppearsAs: string | false;
  readonly xClient: readonly (readonly [string, string | number | false])[];
  /** Undefined without TLS. */
  readonly cipher: CipherNameAndProtocol | undefined;
  readonly transactions: number;
  /** Its rcptTo is empty. */
  readonly envelope: Envelope;
}

/** smtp-server closes after ten unknown commands; here all errors count alike (session.ts). */
const NEVER = Number.NEGATIVE_INFINITY;
const ENHANCED_CODE = /^[245]\.\d{1,3}\.\d{1,3} /;

/** What smtp-server asks of its socket when parser, timeouts and closing are ours. */
class SocketStandIn {
  readonly destroyed = false;
  readonly readyState = "open";
  readonly #write: (text: string) => void;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  write(text: string): boolean {
    this.#write(text);
    return true;
  }
}

/** The stream of a message: nothing flows through it, the content goes past smtp-server. */
class DataStandIn {
  /** smtp-server answers at once when its handler is done and does not wait for an end. */
  readonly readable = false;
  readonly writableEnded = true;
}

class ParserStandIn {
  isClosed = false;
  readonly dataBytes = 0;

  startDataMode(): DataStandIn {
    return new DataStandIn();
  }

  continue(): void {
    // The session goes on by itself when the message is answered.
  }
}

export class Connection extends SMTPConnection {
  readonly #host: ConnectionHost;
  #secured: (() => void) | undefined;

  private constructor(
    server: SMTPServer,
    host: ConnectionHost,
    { id, ...endpoints }: Endpoints & { id: string },
  ) {
    const socket = new SocketStandIn((text) => host.write(text));
    super(server, socket as unknown as Socket, { id, ...endpoints });
    this.#host = host;
    this._unrecognizedCommands = NEVER;
    this._maxAllowedUnauthenticatedCommands = false;
  }

  /** A connection that was just accepted; nothing is said until `greet`. */
  static fresh(
    server: SMTPServer,
    host: ConnectionHost,
    endpoints: Endpoints & { id: string },
  ): Connection {
    const connection = new Connection(server, host, endpoints);
    connection._setClientHostname("");
    connection._resetSession();
    return connection;
  }

  /** The connection whose facts were taken, with its first recipient accepted and answered. */
  static restore(
    server: SMTPServer,
    host: ConnectionHost,
    facts: ConnectionFacts,
    recipient: SMTPServerAddress,
  ): Connection {
    const connection = new Connection(server, host, facts);
    connection._originalRemoteAddress = facts.originalRemoteAddress;
    connection.clientHostname = facts.clientHostname;
    connection.openingCommand = facts.openingCommand;
    connection.hostNameAppearsAs = facts.hostNameAppearsAs;
    connection._xClient = new Map(facts.xClient);
    connection._transactionCounter = facts.transactions;
    connection.secure = connection.session.secure = facts.cipher !== undefined;
    connection.tlsOptions = facts.cipher ?? false;
    connection._ready = true;
    connection._canEmitConnection = false;
    connection._resetSession();
    connection.session.envelope = { ...facts.envelope, rcptTo: [recipient] };
    connection._rcptIndex.set(recipient.address.toLowerCase(), 0);
    // TLS could only be started by who has the key.
    connection.session.disabledCommands = [...(server.options.disabledCommands ?? []), "STARTTLS"];
    connection.send(250, "Accepted", "RCPT_TO_OK");
    return connection;
  }

  facts(): ConnectionFacts {
    return {
      id: this.id,
      remoteAddress: this.remoteAddress,
      remotePort: this.remotePort,
      localAddress: this.localAddress,
      localPort: this.localPort,
      originalRemoteAddress: this._originalRemoteAddress,
      clientHostname: this.clientHostname,
      openingCommand: this.openingCommand,
      hostNameAppearsAs: this.hostNameAppearsAs,
      xClient: [...this._xClient],
      cipher: this.tlsOptions === false ? undefined : this.tlsOptions,
      transactions: this._transactionCounter,
      envelope: { ...this.session.envelope, rcptTo: [] },
    };
  }

  greet(): void {
    this._ready = true;
    this._sendGreeting();
  }

  /** `done` is called once, maybe before this returns, when the next command may come. */
  command(line: Buffer, done: () => void): void {
    this._onCommand(line, done);
  }

  /** The handshake is done (RFC 3207 section 4.2: everything known before is forgotten). */
  secured(cipher: CipherNameAndProtocol, servername: string | false): void {
    this._upgrading = false;
    this.session.secure = this.secure = true;
    this.hostNameAppearsAs = false;
    this.openingCommand = false;
    this.tlsOptions = cipher;
    this.session.servername = servername;
    this._resetSession();
    this.#secured?.();
    this.#secured = undefined;
  }

  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const hasCode = typeof data === "string" && ENHANCED_CODE.test(data);
    // smtp-server gives a refused EHLO none; only the greeting and an accepted one have none (RFC 2034 section 3).
    const isRefusal = code >= 400 && context === false;
    super.send(code, data, hasCode ? false : isRefusal ? undefined : context);
  }

  override close(): void {
    this._closing = true;
    this.#host.end();
  }

  override upgrade(callback: () => void): void {
    this._upgrading = true;
    this.#secured = callback;
    this.#host.startTls();
  }

  override _createParser(): ReturnType<SMTPConnection["_createParser"]> {
    return new ParserStandIn() as unknown as ReturnType<SMTPConnection["_createParser"]>;
  }

  override _whenWritable(next: () => void): void {
    next();
  }

  override _resetSession(): void {
    super._resetSession();
    this.#host.resetTransaction();
  }

  override _proxyCommandAllowed(command: string): boolean {
    return (
      command === "XCLIENT" &&
      !this._xClient.has("ADDR") &&
      this.#host.mayXclient(this._originalRemoteAddress)
    );
  }
}
