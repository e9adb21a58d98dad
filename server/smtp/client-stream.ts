/**
 * The bytes of one client, in both directions: the only file of a session that touches its socket. Replies are
 * gathered and written together; the client's end of input is told apart from its end, since a client may close
 * its side and wait for the replies to what it sent before.
 *
 * Not here: what the bytes mean.
 */
import type { Socket } from "node:net";
import { TLSSocket, type CipherNameAndProtocol, type SecureContext } from "node:tls";
import { quiet, unquiet } from "../hand-over/quiet-socket.ts";

/** Whose stream it is. */
export interface StreamOwner {
  received(chunk: Buffer): void;
  /** The client has closed its side. */
  inputOver(): void;
  /** What was written has gone, after `isFull`. */
  drained(): void;
  /** Nothing comes and goes any more. */
  closed(): void;
}

export interface Released {
  readonly socket: Socket;
  readonly unread: Buffer;
  readonly unwritten: string;
}

export class ClientStream {
  readonly #owner: StreamOwner;
  #socket: Socket;
  #out = "";
  #awaitsDrain = false;
  #isInputOver = false;

  constructor(owner: StreamOwner, socket: Socket) {
    this.#owner = owner;
    this.#socket = socket;
    socket.setNoDelay(true);
    this.#listen();
  }

  /** The client does not take our replies: nothing more should be done for it now. */
  get isFull(): boolean {
    return this.#socket.writableNeedDrain;
  }

  get isInputOver(): boolean {
    return this.#isInputOver;
  }

  /** Goes out with the next `flush`. */
  write(text: string): void {
    this.#out += text;
  }

  flush(): void {
    const socket = this.#socket;
    const out = this.#out;
    this.#out = "";
    if (out === "" || socket.destroyed || !socket.writable) return;
    socket.write(out);
    if (!socket.writableNeedDrain || this.#awaitsDrain) return;
    this.#awaitsDrain = true;
    socket.once("drain", () => {
      this.#awaitsDrain = false;
      this.#owner.drained();
    });
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  /**
   * Writes what was gathered and closes our side; what still comes has to be read for its end to be seen. `isPolite`: the
   * client has taken its leave and sends no more.
   */
  end(isPolite: boolean): void {
    this.flush();
    const socket = this.#socket;
    if (isPolite && socket.writableLength === 0) socket.destroy();
    else if (this.#isInputOver) socket.destroySoon();
    else socket.end();
    socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** `secured` is called when the handshake is done; if it fails, the stream is closed. */
  startTls(secureContext: SecureContext, secured: (cipher: CipherNameAndProtocol) => void): void {
    this.flush();
    this.#unlisten();
    const plain = this.#socket;
    if (this.#isInputOver) {
      plain.destroy();
      this.#owner.closed();
      return;
    }
    const socket = new TLSSocket(plain, { secureContext, isServer: true });
    this.#socket = socket;
    const failed = (): void => {
      // A handshake that fails leaves the socket below open.
      plain.destroy();
      this.#owner.closed();
    };
    socket.once("close", failed);
    socket.once("_tlsError", () => socket.destroy());
    // The end of input may have been read already: then TLS does not see it.
    plain.once("end", () => socket.destroy());
    socket.on("error", () => socket.destroy());
    // The end of a client that gives up is only seen by who reads.
    socket.once("end", () => socket.destroy());
    socket.resume();
    socket.once("secure", () => {
      if (socket.destroyed) return;
      for (const event of ["close", "end"]) socket.removeAllListeners(event);
      this.#listen();
      secured(socket.getCipher());
    });
  }

  /**
   * Gives the socket away, with the bytes that were read and not told yet and the replies that were gathered: one write
   * less. Undefined when that cannot be: the client is gone, or has not taken what was written.
   */
  release(): Released | undefined {
    const socket = this.#socket;
    if (socket.destroyed) return undefined;
    // A TLS socket stays with this process; a plain one would leave its unwritten bytes behind.
    if (!(socket instanceof TLSSocket) && socket.writableLength > 0) return undefined;
    this.#unlisten();
    const unwritten = this.#out;
    this.#out = "";
    return { socket, unread: quiet(socket), unwritten };
  }

  /** What was released stays after all. */
  takeBack(): void {
    if (this.#socket.destroyed) {
      this.#owner.closed();
      return;
    }
    this.#listen();
    unquiet(this.#socket);
  }

  #listen(): void {
    const socket = this.#socket;
    socket.allowHalfOpen = true;
    socket.on("data", (chunk: Buffer) => this.#owner.received(chunk));
    socket.once("end", () => {
      this.#isInputOver = true;
      this.#owner.inputOver();
    });
    socket.once("close", () => this.#owner.closed());
    socket.on("error", () => socket.destroy());
  }

  #unlisten(): void {
    for (const event of ["data", "end", "close"]) this.#socket.removeAllListeners(event);
  }
}
