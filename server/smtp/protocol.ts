/**
 * smtp-server, set up to speak and to decide nothing: its handlers ask the session whose connection it is. One
 * for each protocol and process; it listens to nothing.
 */
import { SMTPServer, type SMTPServerAddress, type SMTPServerSession } from "smtp-server";
import { assert } from "../../base/assert.ts";
import type { Config, Listener } from "../config/config.ts";
import { replyError } from "./replies.ts";

export type Protocol = Listener["protocol"];

/** With an error: refused. */
export type RecipientDone = (error?: Error | null) => void;
/** With one reply, or in LMTP with one for each recipient. */
export type DataDone = (error: Error | null, message?: string | (string | Error)[]) => void;

/** What smtp-server asks: one for each connection. */
export interface ProtocolHandlers {
  recipient(address: SMTPServerAddress, done: RecipientDone): void;
  data(done: DataDone): void;
}

/** Of the extensions that EHLO offers: RFC 1870, 6152, 6531 and 3461. */
const MAIL_PARAMETERS: ReadonlySet<string> = new Set(["SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"]);
const RCPT_PARAMETERS: ReadonlySet<string> = new Set(["NOTIFY", "ORCPT"]);
/** RFC 3461 section 4.2: an ORCPT is at most 500 characters long. */
const VALUE_LENGTH_MAX = 500;

/** smtp-server keeps the session's object for as long as the connection, and asks with it. */
const HANDLERS = Symbol("handlers");
type SessionWithHandlers = SMTPServerSession & { [HANDLERS]?: ProtocolHandlers };

/** Commands of smtp-server that are jokes, or rights that nobody has here. */
const NOT_OFFERED = ["AUTH", "XFORWARD", "WIZ", "SHELL", "KILL"];

export class Protocols {
  readonly #servers: Readonly<Record<Protocol, SMTPServer>>;

  constructor(config: Config, hasTls: boolean) {
    this.#servers = {
      smtp: this.#server(config, hasTls, false),
      lmtp: this.#server(config, hasTls, true),
    };
  }

  server(protocol: Protocol): SMTPServer {
    return this.#servers[protocol];
  }

  attach(session: SMTPServerSession, handlers: ProtocolHandlers): void {
    (session as SessionWithHandlers)[HANDLERS] = handlers;
  }

  /** For sessions that are open, too. */
  configure(config: Config, hasTls: boolean): void {
    for (const server of Object.values(this.#servers)) {
      Object.assign(server.options, changeable(config, hasTls));
    }
  }

  #server(config: Config, hasTls: boolean, lmtp: boolean): SMTPServer {
    const handlersOf = (session: SMTPServerSession): ProtocolHandlers => {
      const { [HANDLERS]: handlers } = session as SessionWithHandlers;
      assert(handlers !== undefined, "a session was attached when it began");
      return handlers;
    };
    return new SMTPServer({
      ...changeable(config, hasTls),
      lmtp,
      // Whom to believe is decided for each connection.
      useXClient: true,
      disableReverseLookup: true,
      hideENHANCEDSTATUSCODES: false,
      hideDSN: false,
      authOptional: true,
      logger: false,
      onMailFrom: (address, _session, done) => done(parameterFault(address, MAIL_PARAMETERS)),
      onRcptTo: (address, session, done) => {
        const fault = parameterFault(address, RCPT_PARAMETERS);
        if (fault === undefined) handlersOf(session).recipient(address, done);
        else done(fault);
      },
      onData: (_stream, session, done) => handlersOf(session).data(done),
    });
  }
}

/**
 * RFC 5321 section 4.1.1.11: what is not known is 555. smtp-server lets it pass, and values of any length, which would be
 * kept for each recipient.
 */
function parameterFault(
  { args }: SMTPServerAddress,
  known: ReadonlySet<string>,
): Error | undefined {
  if (args === false) return undefined;
  for (const [name, value] of Object.entries(args)) {
    if (!known.has(name)) return replyError("parameterUnknown");
    if (String(value).length > VALUE_LENGTH_MAX) return replyError("parameterTooLong");
  }
  return undefined;
}

/** Those options that smtp-server looks at with each command. */
function changeable({ hostname, limits }: Config, hasTls: boolean) {
  return {
    name: hostname,
    heloResponse: "%s",
    size: limits.messageBytesMax,
    disabledCommands: hasTls ? NOT_OFFERED : [...NOT_OFFERED, "STARTTLS"],
  };
}
