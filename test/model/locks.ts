/**
 * Locks as a naive table: for each inode and kind an array of bytes, each with the owners who hold it.
 * The last byte stands for itself and everything behind it. Slow, and obviously right.
 */
import type { LockRequest } from "../../fs/locks/table.ts";

/** Bytes 0 to LAST; LAST is where "to the end of the file" ends. */
export const LAST = 15;

interface Held {
  readonly type: "read" | "write";
  readonly handle: number;
  readonly pid: number;
}

type Bytes = Map<bigint, Held>[];

interface ModelWait {
  readonly id: number;
  readonly ino: number;
  readonly request: LockRequest;
}

export type ModelResult = "ok" | "again" | "deadlock" | "interrupted";

export class ModelLocks {
  readonly #bytes = new Map<string, Bytes>();
  waits: ModelWait[] = [];
  /** What the last step did, in order: answers to waiters, and inodes that lost their last lock. */
  answers: { id: number; result: ModelResult }[] = [];
  unlocked: number[] = [];

  #of(ino: number, flavor: "posix" | "flock"): Bytes {
    const key = `${flavor} ${ino}`;
    let bytes = this.#bytes.get(key);
    if (bytes === undefined) {
      bytes = Array.from({ length: LAST + 1 }, () => new Map<bigint, Held>());
      this.#bytes.set(key, bytes);
    }
    return bytes;
  }

  #range(request: LockRequest): [number, number] {
    return request.flavor === "flock" ? [0, LAST] : [request.start, Math.min(request.end, LAST)];
  }

  blockers(ino: number, request: LockRequest): Set<bigint> {
    const found = new Set<bigint>();
    const [start, end] = this.#range(request);
    for (let i = start; i <= end; i++) {
      for (const [owner, held] of this.#of(ino, request.flavor)[i]!) {
        if (owner === request.owner) continue;
        if (request.type === "write" || held.type === "write") found.add(owner);
      }
    }
    return found;
  }

  #put(ino: number, request: LockRequest): void {
    const bytes = this.#of(ino, request.flavor);
    const { type, owner, handle, pid } = request;
    const [start, end] = this.#range(request);
    for (let i = start; i <= end; i++) {
      if (type === "unlock") bytes[i]!.delete(owner);
      else bytes[i]!.set(owner, { type, handle, pid });
    }
    if (type === "unlock") return;
    const join = (i: number, step: number): void => {
      for (let j = i; bytes[j]?.get(owner)?.type === type; j += step) {
        bytes[j]!.set(owner, { type, handle, pid });
      }
    };
    join(start - 1, -1);
    join(end + 1, 1);
  }

  hasLocks(ino: number): boolean {
    return (["posix", "flock"] as const).some((flavor) =>
      this.#of(ino, flavor).some((byte) => byte.size > 0),
    );
  }

  #step(ino: number, change: () => void): void {
    this.answers = [];
    this.unlocked = [];
    const before = this.hasLocks(ino);
    change();
    this.#serve(ino);
    if (before && !this.hasLocks(ino)) this.unlocked.push(ino);
  }

  /** Rounds over the queue in order of arrival, as long as a round serves somebody. */
  #serve(ino: number): void {
    let any = true;
    while (any) {
      any = false;
      let from = 0;
      let served: ModelWait | undefined;
      while ((served = this.#next(ino, from)) !== undefined) {
        from = this.waits.indexOf(served);
        this.waits.splice(from, 1);
        this.#put(ino, served.request);
        this.answers.push({ id: served.id, result: "ok" });
        any = true;
      }
    }
  }

  #next(ino: number, from: number): ModelWait | undefined {
    return this.waits
      .slice(from)
      .find((w) => w.ino === ino && this.blockers(ino, w.request).size === 0);
  }

  set(ino: number, request: LockRequest): "ok" | "again" {
    let result: "ok" | "again" = "ok";
    this.#step(ino, () => {
      const byte = this.#of(ino, "flock")[0]!;
      const held = byte.get(request.owner);
      if (request.flavor === "flock" && held !== undefined && held.type !== request.type) {
        this.#put(ino, { ...request, type: "unlock" });
        this.#serve(ino);
      }
      if (request.type !== "unlock" && this.blockers(ino, request).size > 0) result = "again";
      else this.#put(ino, request);
    });
    return result;
  }

  wait(id: number, ino: number, request: LockRequest): ModelResult | "waits" {
    const result = this.set(ino, request);
    if (result === "ok") return "ok";
    if (request.flavor === "posix" && this.#reaches(ino, request, request.owner)) return "deadlock";
    this.waits.push({ id, ino, request });
    return "waits";
  }

  /** Whether the wait leads to `target`, by any path: paths are tried one after another. */
  #reaches(ino: number, request: LockRequest, target: bigint, path: bigint[] = []): boolean {
    for (const owner of this.blockers(ino, request)) {
      if (owner === target) return true;
      if (path.includes(owner)) continue;
      const onward = this.waits.filter(
        (w) => w.request.owner === owner && w.request.flavor === "posix",
      );
      if (onward.some((w) => this.#reaches(w.ino, w.request, target, [...path, owner])))
        return true;
    }
    return false;
  }

  #interrupt(which: (wait: ModelWait) => boolean): void {
    for (const wait of this.waits.filter(which)) {
      this.answers.push({ id: wait.id, result: "interrupted" });
      this.waits.splice(this.waits.indexOf(wait), 1);
    }
  }

  cancel(id: number): void {
    this.answers = [];
    this.unlocked = [];
    this.#interrupt((wait) => wait.id === id);
  }

  releaseOwner(ino: number, owner: bigint): void {
    this.#step(ino, () => {
      this.#interrupt(
        (w) => w.ino === ino && w.request.flavor === "posix" && w.request.owner === owner,
      );
      for (const byte of this.#of(ino, "posix")) byte.delete(owner);
    });
  }

  releaseHandle(ino: number, handle: number): void {
    this.#step(ino, () => {
      this.#interrupt((w) => w.ino === ino && w.request.handle === handle);
      for (const flavor of ["posix", "flock"] as const) {
        for (const byte of this.#of(ino, flavor)) {
          for (const [owner, held] of byte) if (held.handle === handle) byte.delete(owner);
        }
      }
    });
  }

  /** Every lock that excludes the request, as the longest runs of bytes that one owner holds alike. */
  conflicts(ino: number, request: LockRequest): { type: string; start: number; end: number }[] {
    const bytes = this.#of(ino, request.flavor);
    const [from, to] = this.#range(request);
    const found = [];
    for (const owner of this.blockers(ino, request)) {
      for (let start = 0; start <= LAST; start++) {
        const type = bytes[start]!.get(owner)?.type;
        let end = start;
        while (end < LAST && bytes[end + 1]!.get(owner)?.type === type) end++;
        const excludes = type !== undefined && (type === "write" || request.type === "write");
        if (excludes && start <= to && end >= from) found.push({ type, start, end });
        start = end;
      }
    }
    return found;
  }
}
