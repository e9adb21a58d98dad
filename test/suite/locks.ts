/** fcntl, OFD and flock locks between programs. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { constants } from "node:fs";
import { refuses, waits } from "./expect.ts";
import {
  F_GETLK,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_RDLCK,
  F_SETLK,
  F_SETLKW,
  F_UNLCK,
  F_WRLCK,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
} from "./linux.ts";
import type { Cases, Place } from "./place.ts";
import type { Program } from "./program.ts";

const { O_CREAT, O_RDWR } = constants;

export const locks: Cases = {
  "fcntl: write locks exclude, read locks share": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_SETLK, F_RDLCK);
    await two.lock(F_SETLK, F_RDLCK);
    await refuses(two.lock(F_SETLK, F_WRLCK), "EAGAIN");
    await one.lock(F_SETLK, F_UNLCK);
    await two.lock(F_SETLK, F_WRLCK);
    await refuses(one.lock(F_SETLK, F_RDLCK), "EAGAIN");
  },

  "fcntl: locks are byte ranges that split and merge": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_SETLK, F_WRLCK, 0, 100);
    await one.lock(F_SETLK, F_UNLCK, 40, 20);
    await refuses(two.lock(F_SETLK, F_WRLCK, 39, 1), "EAGAIN");
    await two.lock(F_SETLK, F_WRLCK, 40, 20);
    await refuses(two.lock(F_SETLK, F_WRLCK, 60, 1), "EAGAIN");
    await one.lock(F_SETLK, F_RDLCK, 80, 20);
    await two.lock(F_SETLK, F_RDLCK, 85, 5);
    await two.lock(F_SETLK, F_UNLCK);
    await one.lock(F_SETLK, F_WRLCK, 0, 100);
    deepEqual(await two.lock(F_GETLK, F_WRLCK, 0, 0), [F_WRLCK, 0, 100, one.program.pid]);
  },

  "fcntl: F_GETLK names the lock in the way": async (place) => {
    const [one, two] = await openTwice(place);
    equal((await two.lock(F_GETLK, F_WRLCK))[0], F_UNLCK);
    await one.lock(F_SETLK, F_RDLCK, 10, 5);
    deepEqual(await two.lock(F_GETLK, F_WRLCK), [F_RDLCK, 10, 5, one.program.pid]);
    equal((await two.lock(F_GETLK, F_RDLCK))[0], F_UNLCK);
    equal((await one.lock(F_GETLK, F_WRLCK))[0], F_UNLCK);
    await one.lock(F_SETLK, F_WRLCK, 1000, 0);
    deepEqual(await two.lock(F_GETLK, F_WRLCK, 500, 0), [F_WRLCK, 1000, 0, one.program.pid]);
  },

  "fcntl: a waiting program gets the lock when it is released": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_SETLK, F_WRLCK);
    const waiting = two.lock(F_SETLKW, F_WRLCK);
    await two.program.asleepIn("fcntl");
    ok(await waits(waiting));
    await one.lock(F_SETLK, F_UNLCK);
    await waiting;
    await refuses(one.lock(F_SETLK, F_RDLCK), "EAGAIN");
  },

  "fcntl: closing any descriptor of the file drops the locks": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_SETLK, F_WRLCK);
    const other = await one.program.open(place.path("f"));
    await refuses(two.lock(F_SETLK, F_WRLCK), "EAGAIN");
    await one.program.close(other);
    await two.lock(F_SETLK, F_WRLCK);
  },

  "fcntl: the end of a program drops its locks": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_SETLK, F_WRLCK);
    const waiting = two.lock(F_SETLKW, F_WRLCK);
    await two.program.asleepIn("fcntl");
    await one.program.end();
    await waiting;
  },

  "fcntl: a signal ends the wait with EINTR, and nothing is locked": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_SETLK, F_WRLCK);
    const waiting = two.lock(F_SETLKW, F_WRLCK);
    await two.program.asleepIn("fcntl");
    two.program.signal("SIGUSR1");
    await refuses(waiting, "EINTR");
    await one.lock(F_SETLK, F_UNLCK);
    deepEqual((await one.lock(F_GETLK, F_WRLCK))[0], F_UNLCK);
  },

  "fcntl: a waiting program that is killed gets nothing": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_SETLK, F_WRLCK);
    const waiting = two.lock(F_SETLKW, F_WRLCK);
    await two.program.asleepIn("fcntl");
    const killed = refuses(waiting, "EXIT");
    await two.program.end();
    await killed;
    await one.lock(F_SETLK, F_UNLCK);
    const three = await openAgain(place);
    await three.lock(F_SETLK, F_WRLCK);
  },

  "fcntl: readers and a writer take turns": async (place) => {
    const [one, two] = await openTwice(place);
    const three = await openAgain(place);
    await one.lock(F_SETLK, F_RDLCK);
    const writing = two.lock(F_SETLKW, F_WRLCK);
    await two.program.asleepIn("fcntl");
    await three.lock(F_SETLK, F_RDLCK, 0, 1);
    await one.lock(F_SETLK, F_UNLCK);
    await three.lock(F_SETLK, F_UNLCK);
    await writing;
    const reading = [one.lock(F_SETLKW, F_RDLCK), three.lock(F_SETLKW, F_RDLCK)];
    await one.program.asleepIn("fcntl");
    await three.program.asleepIn("fcntl");
    await two.lock(F_SETLK, F_RDLCK);
    await Promise.all(reading);
  },

  "fcntl: a lock on a file does not bind another file": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_SETLK, F_WRLCK);
    const other = await openAgain(place, "g", two.program);
    await other.lock(F_SETLK, F_WRLCK);
  },

  "fcntl: locks need the descriptor's access mode": async (place) => {
    const program = place.program();
    await program.writeFile(place.path("f"), "");
    const reading = await program.open(place.path("f"), constants.O_RDONLY);
    const writing = await program.open(place.path("f"), constants.O_WRONLY);
    await refuses(program.call("lock", reading, F_SETLK, F_WRLCK, 0, 0), "EBADF");
    await refuses(program.call("lock", writing, F_SETLK, F_RDLCK, 0, 0), "EBADF");
  },

  "fcntl: a lock survives unlink and rename": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_SETLK, F_WRLCK);
    await one.program.rename(place.path("f"), place.path("g"));
    await refuses(two.lock(F_SETLK, F_WRLCK), "EAGAIN");
    await one.program.unlink(place.path("g"));
    await refuses(two.lock(F_SETLK, F_WRLCK), "EAGAIN");
    await one.lock(F_SETLK, F_UNLCK);
    await two.lock(F_SETLK, F_WRLCK);
  },

  "OFD: locks belong to the open file": async (place) => {
    const program = place.program();
    const one = await openAgain(place, "f", program);
    const two = await openAgain(place, "f", program);
    await one.lock(F_OFD_SETLK, F_WRLCK, 0, 10);
    await refuses(two.lock(F_OFD_SETLK, F_WRLCK, 5, 10), "EAGAIN");
    deepEqual(await two.lock(F_OFD_GETLK, F_WRLCK), [F_WRLCK, 0, 10, -1]);
    await program.close(two.fd);
    const three = await openAgain(place, "f", program);
    await refuses(three.lock(F_OFD_SETLK, F_RDLCK), "EAGAIN");
    await program.close(one.fd);
    await three.lock(F_OFD_SETLK, F_RDLCK);
  },

  "OFD: a lock lives while a copy of the descriptor is open": async (place) => {
    const [one, two] = await openTwice(place);
    const copy = (await one.program.call("os.dup", one.fd)) as number;
    await one.lock(F_OFD_SETLK, F_WRLCK);
    await one.program.close(one.fd);
    await refuses(two.lock(F_OFD_SETLK, F_WRLCK), "EAGAIN");
    await one.program.close(copy);
    await two.lock(F_OFD_SETLKW, F_WRLCK);
  },

  "OFD: waiting, release and signals": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_OFD_SETLK, F_WRLCK);
    const first = two.lock(F_OFD_SETLKW, F_WRLCK);
    await two.program.asleepIn("fcntl");
    two.program.signal("SIGUSR1");
    await refuses(first, "EINTR");
    const second = two.lock(F_OFD_SETLKW, F_WRLCK);
    await two.program.asleepIn("fcntl");
    await one.program.close(one.fd);
    await second;
  },

  "OFD and fcntl locks exclude each other": async (place) => {
    const [one, two] = await openTwice(place);
    await one.lock(F_OFD_SETLK, F_WRLCK);
    await refuses(two.lock(F_SETLK, F_RDLCK), "EAGAIN");
    await one.lock(F_OFD_SETLK, F_UNLCK);
    await two.lock(F_SETLK, F_RDLCK);
    await refuses(one.lock(F_OFD_SETLK, F_WRLCK), "EAGAIN");
  },

  "flock: shared and exclusive": async (place) => {
    const [one, two] = await openTwice(place);
    await one.flock(LOCK_SH);
    await two.flock(LOCK_SH | LOCK_NB);
    await refuses(two.flock(LOCK_EX | LOCK_NB), "EAGAIN");
    await one.flock(LOCK_UN);
    await two.flock(LOCK_EX | LOCK_NB);
    await refuses(one.flock(LOCK_SH | LOCK_NB), "EAGAIN");
  },

  "flock: two descriptors of one program exclude each other": async (place) => {
    const program = place.program();
    const one = await openAgain(place, "f", program);
    const two = await openAgain(place, "f", program);
    await one.flock(LOCK_EX);
    await refuses(two.flock(LOCK_EX | LOCK_NB), "EAGAIN");
    await program.close(one.fd);
    await two.flock(LOCK_EX | LOCK_NB);
  },

  "flock: waiting, release, signals and the end of a program": async (place) => {
    const [one, two] = await openTwice(place);
    await one.flock(LOCK_EX);
    const first = two.flock(LOCK_EX);
    await two.program.asleepIn("flock");
    two.program.signal("SIGUSR1");
    await refuses(first, "EINTR");
    const second = two.flock(LOCK_SH);
    await two.program.asleepIn("flock");
    await one.flock(LOCK_UN);
    await second;
    const third = one.flock(LOCK_EX);
    await one.program.asleepIn("flock");
    await two.program.end();
    await third;
  },

  "flock: a child keeps the lock that its parent took": async (place) => {
    const [one, two] = await openTwice(place);
    await one.flock(LOCK_EX);
    const child = (await one.program.call("fork_holding", 60)) as number;
    await one.program.close(one.fd);
    await refuses(two.flock(LOCK_EX | LOCK_NB), "EAGAIN");
    await one.program.call("os.kill", child, 9);
    await two.flock(LOCK_EX);
  },

  "flock and fcntl locks do not see each other": async (place) => {
    const [one, two] = await openTwice(place);
    await one.flock(LOCK_EX);
    await two.lock(F_SETLK, F_WRLCK);
  },

  "programs that count under a lock lose nothing": async (place) => {
    const first = place.program();
    await Promise.all(
      (["fcntl", "ofd", "flock"] as const).flatMap((kind) =>
        // The kinds do not exclude each other: each has its own counter.
        Array.from({ length: 4 }, () =>
          place.program().call("count_under_lock", place.path(`count-${kind}`), kind, 60),
        ),
      ),
    );
    for (const kind of ["fcntl", "ofd", "flock"]) {
      equal(await first.text(place.path(`count-${kind}`)), "240", kind);
    }
  },
};

interface Opened {
  readonly program: Program;
  readonly fd: number;
  /** [type, start, length, pid] for a GETLK command. */
  lock(command: number, type: number, start?: number, length?: number): Promise<number[]>;
  flock(operation: number): Promise<unknown>;
}

async function openTwice(place: Place): Promise<[Opened, Opened]> {
  return [await openAgain(place), await openAgain(place)];
}

async function openAgain(
  place: Place,
  name = "f",
  program: Program = place.program(),
): Promise<Opened> {
  const fd = await program.open(place.path(name), O_RDWR | O_CREAT);
  return {
    program,
    fd,
    lock: (command, type, start = 0, length = 0) =>
      program.call("lock", fd, command, type, start, length) as Promise<number[]>,
    flock: (operation) => program.call("flock", fd, operation),
  };
}
