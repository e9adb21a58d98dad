/** Requests to the control file of a mount (docs/HINTS.md), made by a program as any user could make them. */
import { constants } from "node:fs";
import type { Program } from "../suite/program.ts";

export interface Target {
  /** From the mount's root. */
  readonly path: string;
  readonly private?: Buffer;
  readonly create?: { readonly mode?: number; readonly uid?: number; readonly gid?: number };
}

export interface Reply {
  readonly ok: boolean;
  readonly error?: string;
  readonly reason?: string;
  readonly path?: string;
  readonly [field: string]: unknown;
}

/** One open of the control file. */
export class HintClient {
  readonly program: Program;
  readonly fd: number;

  constructor(program: Program, fd: number) {
    this.program = program;
    this.fd = fd;
  }

  static async open(program: Program, mountpoint: string): Promise<HintClient> {
    return new HintClient(program, await program.open(`${mountpoint}/.onespool`, constants.O_RDWR));
  }

  async request(fields: Record<string, unknown>, body: Buffer = Buffer.alloc(0)): Promise<Reply> {
    const line = `${JSON.stringify({ ...fields, bodyBytes: body.length })}\n`;
    const request = Buffer.concat([Buffer.from(line), body]);
    const reply = await this.program.call("request", this.fd, request);
    return JSON.parse(String(reply)) as Reply;
  }

  deliver(shared: Buffer, to: readonly Target[]): Promise<Reply> {
    return this.request(...deliverRequest(shared, to));
  }
}

/** The private bytes of each target come before the shared ones in its file, behind them in the request. */
export function deliverRequest(
  shared: Buffer,
  to: readonly Target[],
): [Record<string, unknown>, Buffer] {
  const targets = to.map(({ path, private: own, create }) => ({
    path,
    privateBytes: own?.length ?? 0,
    ...(create === undefined ? {} : { create }),
  }));
  const pieces = shared.length === 0 ? [] : [{ bytes: shared.length }];
  const owned = to.map((target) => target.private ?? Buffer.alloc(0));
  return [{ op: "deliver", shared: pieces, to: targets }, Buffer.concat([shared, ...owned])];
}
