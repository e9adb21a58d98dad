/**
 * Whose rights a session has: those of the process that opens it, at that moment. The kernel tells uid,
 * gid and thread; the supplementary groups and the process are read from /proc while the opener waits
 * in open(2), so the thread cannot have become another one.
 */
import { readFileSync } from "node:fs";
import type { Caller, Credentials } from "../caller.ts";

/** Credentials, and the process as locks name it: a request carries the number of a thread. */
export interface Opener extends Credentials {
  readonly processId: number;
}

/** The fields of /proc/PID/status that count. Pure. */
export function readStatus(status: string, caller: Caller): Opener {
  const uids = /^Uid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/).map(Number);
  const tgid = Number(/^Tgid:\s*(\d+)$/m.exec(status)?.[1]);
  const groups = /^Groups:[ \t]*(.*)$/m.exec(status)?.[1] ?? "";
  // The fourth is the one that file systems see. If it differs, this is not the opener.
  if (uids?.[3] !== caller.uid || !Number.isSafeInteger(tgid)) return withoutGroups(caller);
  return {
    uid: caller.uid,
    gid: caller.gid,
    pid: caller.pid,
    processId: tgid,
    groups: groups.split(/\s+/).filter(Boolean).map(Number),
  };
}

function withoutGroups(caller: Caller): Opener {
  return {
    uid: caller.uid,
    gid: caller.gid,
    pid: caller.pid,
    processId: caller.pid,
    groups: [],
  };
}

/** A process that is gone, or that lives in another PID namespace (pid 0), has no groups. */
export function openerOf(caller: Caller): Opener {
  if (caller.pid <= 0) return withoutGroups(caller);
  let status: string;
  try {
    status = readFileSync(`/proc/${caller.pid}/status`, "latin1");
  } catch {
    return withoutGroups(caller);
  }
  return readStatus(status, caller);
}
