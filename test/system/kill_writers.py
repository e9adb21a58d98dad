"""A program that changes files of its own in a mount, again and again, and keeps what it was answered.

Arguments: kind, directory, a word for the names, and the uid and gid to become. Lines of standard input: "go" begins to
work; "stop" ends it behind the change that is under way, and is answered with one line of JSON, the changes since "go" in
order, each [what, outcome, ...]. The outcome is "done" (the call has returned), or "open": the server of the mount has gone
before it did, so that the change was made or was not. Any other error ends the program.
"""
import errno
import fcntl
import json
import os
import select
import sys
import time

GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV)
# Of a path through the mount point: while there is no mount the directory below it shows.
AWAY = GONE + (errno.ENOENT, errno.EACCES)
PAUSE_S = 0.05
AWAY_S_MAX = 90


class Writer:
    """Names are looked up from a descriptor of the directory: where there is no mount they are not simply missing."""

    def __init__(self, directory, word):
        self.directory = directory
        self.word = word
        self.number = 0
        self.dir = None
        self.file = None
        self.changes = []
        self.reach()

    def reach(self):
        deadline = time.monotonic() + AWAY_S_MAX
        while True:
            try:
                self.dir = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
                return
            except OSError as error:
                if error.errno not in AWAY or time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_S)

    def try_change(self, what, call):
        self.changes.append([what[0], "open", *what[1:]])
        call()
        self.changes[-1][1] = "done"

    def open(self, name, flags):
        return os.open(name, flags, 0o600, dir_fd=self.dir)

    def make(self, name, content, is_synced):
        def write():
            fd = self.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                write_whole(fd, content)
                if is_synced:
                    os.fsync(fd)
            finally:
                close(fd)

        self.try_change(["create", name, content], write)

    def step_or_reach(self):
        self.number += 1
        try:
            self.step(self.number)
        except OSError as error:
            if error.errno not in GONE:
                raise
            for fd in (self.file, self.dir):
                if fd is not None:
                    close(fd)
            self.file = self.dir = None
            self.reach()

    def run(self):
        for line in sys.stdin:
            if line != "go\n":
                raise ValueError(line)
            while not select.select([sys.stdin], [], [], 0.002)[0]:
                self.step_or_reach()
            if sys.stdin.readline() != "stop\n":
                break
            print(json.dumps(self.changes), flush=True)
            self.changes = []


def write_whole(fd, text):
    if os.write(fd, text.encode()) != len(text):
        raise ValueError("a short write")


def close(fd):
    try:
        os.close(fd)
    except OSError as error:
        if error.errno not in GONE:
            raise


class Appender(Writer):
    """Lines at the end of one file that several share, each under an fcntl lock; every third one is synced."""

    def step(self, number):
        if self.file is None:
            self.file = self.open("shared", os.O_RDWR | os.O_APPEND | os.O_CREAT)
        fcntl.lockf(self.file, fcntl.LOCK_EX)
        line = f"{self.word}-{number:06d}-" + "y" * (number * 97 % 2000)
        self.try_change(["line", line], lambda: write_whole(self.file, line + "\n"))
        if number % 3 == 0:
            os.fsync(self.file)
        fcntl.lockf(self.file, fcntl.LOCK_UN)


class Renamer(Writer):
    """A new file is written, synced and renamed over one of seven others."""

    def step(self, number):
        slot, new = f"{self.word}-slot-{number % 7}", f"{self.word}-new-{number:06d}"
        self.make(new, f"{self.word}-{number:06d} " * (number % 400 + 1), number % 2 == 0)
        self.try_change(
            ["rename", new, slot],
            lambda: os.rename(new, slot, src_dir_fd=self.dir, dst_dir_fd=self.dir),
        )


class Maker(Writer):
    """Files come and go: a dozen of them are there at a time, the oldest one is removed."""

    def __init__(self, directory, word):
        super().__init__(directory, word)
        self.names = []

    def step(self, number):
        name = f"{self.word}-file-{number:06d}"
        self.make(name, f"{self.word}-{number:06d} " * (number % 50 + 1), False)
        self.names.append(name)
        if len(self.names) > 12:
            gone = self.names.pop(0)
            self.try_change(["unlink", gone], lambda: os.unlink(gone, dir_fd=self.dir))


KINDS = {"append": Appender, "rename": Renamer, "make": Maker}
kind, directory, word, uid, gid = sys.argv[1:]
os.setgroups([])
os.setgid(int(gid))
os.setuid(int(uid))
KINDS[kind](directory, word).run()
