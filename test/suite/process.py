"""A program that the tests drive: one call for each line of standard input, one answer for each.

A line is a JSON array [name, arguments, keywords]. A name like "os.open" is the function of Python's
os module; others are defined below, for calls that the os module does not have. Bytes travel as
{"b": latin1}, integers beyond 2^53 as {"i": decimal}. The answer is {"r": result}, or {"e": code,
"m": text} with an errno's name. Arguments: none, or uid, gid and supplementary groups (with commas) to become. SIGUSR1 ends a call that waits with EINTR. The end of standard input
ends the process.
"""
import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
libc.opendir.restype = ctypes.c_void_p
libc.opendir.argtypes = [ctypes.c_char_p]
libc.readdir.restype = ctypes.c_void_p
libc.readdir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.closedir.argtypes = [ctypes.c_void_p]
libc.getxattr.restype = ctypes.c_ssize_t
libc.getxattr.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t]
libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p]

AT_FDCWD = -100
FLOCK = "hhqqi4x"  # struct flock on 64-bit Linux: type, whence, start, length, pid


def check(result):
    """The result of a libc call, or its errno as an OSError."""
    if result is None or result == -1 or result == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def renameat2(old, new, flags):
    check(libc.renameat2(AT_FDCWD, old, AT_FDCWD, new, flags))


def link_fd(fd, new):
    """linkat(2) of an open file without a name, the way open(2) documents it for O_TMPFILE."""
    check(libc.linkat(AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, new, 0x400))


def fallocate(fd, mode, offset, length):
    check(libc.fallocate(fd, mode, offset, length))


def utimensat(path, atime, mtime, flags=0):
    """Each time is [seconds, nanoseconds]; nanoseconds may be UTIME_NOW or UTIME_OMIT."""
    times = struct.pack("qqqq", *atime, *mtime)
    check(libc.utimensat(AT_FDCWD, path, times, flags))


def lock(fd, command, kind, start, length):
    """fcntl(2) with struct flock; a GETLK command answers with [type, start, length, pid]."""
    answer = fcntl.fcntl(fd, command, struct.pack(FLOCK, kind, 0, start, length, 0))
    kind, _, start, length, pid = struct.unpack(FLOCK, answer)
    return [kind, start, length, pid]


def flock(fd, operation):
    fcntl.flock(fd, operation)


def setfl(fd, flags):
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)


mappings = {}


def mmap(fd, length, protection, flags):
    """Maps also behind the end of the file, which Python's own mmap refuses."""
    address = check(libc.mmap(None, length, protection, flags, fd, 0))
    mappings[address] = length
    return address


def map_read(address, offset, length):
    assert offset + length <= mappings[address]
    return ctypes.string_at(address + offset, length)


def map_write(address, offset, data):
    assert offset + len(data) <= mappings[address]
    ctypes.memmove(address + offset, data, len(data))


def msync(address):
    check(libc.msync(address, mappings[address], 4))


def munmap(address):
    check(libc.munmap(address, mappings.pop(address)))


def opendir(path):
    return check(libc.opendir(path))


def readdir(directory, count):
    """Up to `count` entries: [name, inode number, d_type, telldir behind it]."""
    entries = []
    while len(entries) < count:
        ctypes.set_errno(0)
        entry = libc.readdir(directory)
        if entry is None:
            if ctypes.get_errno() != 0:
                check(-1)
            break
        ino, _, length, kind = struct.unpack("QqHB", ctypes.string_at(entry, 19))
        name = ctypes.string_at(entry + 19)
        entries.append([name, ino, kind, libc.telldir(directory)])
    return entries


def seekdir(directory, position):
    libc.seekdir(directory, position)


def rewinddir(directory):
    libc.rewinddir(directory)


def closedir(directory):
    check(libc.closedir(directory))


def getxattr_sized(path, name, size):
    """getxattr(2) with a buffer of exactly `size` bytes; answers with the length."""
    buffer = ctypes.create_string_buffer(max(size, 1))
    return check(libc.getxattr(path, name, buffer, size))


def ioctl(fd, command, data):
    """ioctl(2) with a buffer that is sent and comes back."""
    buffer = ctypes.create_string_buffer(data, max(len(data), 1))
    result = check(libc.ioctl(fd, command, buffer))
    return [result, buffer.raw]


def write_file(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o666):
    fd = os.open(path, flags, mode)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def write_all(fd, data):
    view = memoryview(data)
    while len(view) > 0:
        view = view[os.write(fd, view):]


def read_file(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(fd, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def append_lines(path, prefix, count, length):
    """Appends `count` lines through one O_APPEND descriptor, one write(2) for each."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in range(count):
        line = b"%s%06d" % (prefix, number)
        data = line + b"." * (length - len(line) - 1) + b"\n"
        assert os.write(fd, data) == len(data)
    os.close(fd)


def inotify():
    return check(libc.inotify_init1(0o2000000))


def watch(fd, path, mask):
    return check(libc.inotify_add_watch(fd, path, mask))


def events(fd, seconds):
    """What inotify(7) tells, at least one event unless the time is over: [watch, mask, name] of each."""
    if not select.select([fd], [], [], seconds)[0]:
        return []
    data = os.read(fd, 1 << 16)
    found = []
    while len(data) > 0:
        number, mask, _, length = struct.unpack_from("iIII", data)
        found.append([number, mask, data[16:16 + length].rstrip(b"\0")])
        data = data[16 + length:]
    return found


channels = {}


def listen(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    channels[path] = server


def send_fd(path, fd):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        socket.send_fds(client, [b"."], [fd])


def receive_fd(path):
    connection, _ = channels[path].accept()
    with connection:
        _, fds, _, _ = socket.recv_fds(connection, 1, 1)
    return fds[0]


def count_under_lock(path, kind, times):
    """Adds one to the number in a file, `times` times, each time under a lock that it waits for."""
    kind = kind.decode()
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    for _ in range(times):
        if kind == "flock":
            fcntl.flock(fd, fcntl.LOCK_EX)
        else:
            lock(fd, fcntl.F_SETLKW if kind == "fcntl" else 38, fcntl.F_WRLCK, 0, 0)
        number = int(os.pread(fd, 20, 0) or b"0")
        os.pwrite(fd, b"%d" % (number + 1), 0)
        if kind == "flock":
            fcntl.flock(fd, fcntl.LOCK_UN)
        else:
            lock(fd, fcntl.F_SETLK if kind == "fcntl" else 37, fcntl.F_UNLCK, 0, 0)
    os.close(fd)


def remove_tree(path):
    import shutil

    shutil.rmtree(path)


def expunge_under_lock(path, kind, count):
    """Removes the first line of a mailbox, `count` times, by rewriting the rest; answers with the lines."""
    kind = kind.decode()
    fd = os.open(path, os.O_RDWR)
    removed = []
    while len(removed) < count:
        if kind == "fcntl":
            lock(fd, fcntl.F_SETLKW, fcntl.F_WRLCK, 0, 0)
        elif kind == "flock":
            fcntl.flock(fd, fcntl.LOCK_EX)
        else:
            os.close(os.open(path + b".lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        data = os.pread(fd, 1 << 24, 0)
        end = data.find(b"\n") + 1
        if end > 0:
            removed.append(data[:end])
            os.lseek(fd, 0, os.SEEK_SET)
            write_all(fd, data[end:])
            os.ftruncate(fd, len(data) - end)
        if kind == "fcntl":
            lock(fd, fcntl.F_SETLK, fcntl.F_UNLCK, 0, 0)
        elif kind == "flock":
            fcntl.flock(fd, fcntl.LOCK_UN)
        else:
            os.unlink(path + b".lock")
    os.close(fd)
    return removed


def shift(fd, start, distance, chunk):
    """Moves what lies behind `start` up or down, as a program does that rewrites a mailbox in chunks."""
    data = os.pread(fd, 1 << 26, start)
    for at in range(0, len(data), chunk):
        part = data[at:at + chunk]
        assert os.pwrite(fd, part, start + distance + at) == len(part)
    if distance < 0:
        os.ftruncate(fd, start + distance + len(data))


def same_files(one, two):
    """Where the bytes or sizes of two open files differ, as text; "" when nowhere."""
    sizes = [os.fstat(fd).st_size for fd in (one, two)]
    if sizes[0] != sizes[1]:
        return f"sizes {sizes}"
    return first_difference(os.pread(one, sizes[0] + 1, 0), os.pread(two, sizes[1] + 1, 0))


def request(fd, data):
    """One request to a control file, and its reply up to the end of the line."""
    write_all(fd, data)
    reply = b""
    while not reply.endswith(b"\n"):
        part = os.read(fd, 1 << 20)
        if not part:
            raise OSError(errno.EPROTO, "the reply ends early")
        reply += part
    return reply


expected = bytearray()  # What a file has to hold, kept here so that it need not travel for each comparison.


def expect(offset, data):
    """Replaces the expected bytes from `offset` on; what lies behind stays."""
    if offset > len(expected):
        expected.extend(bytes(offset - len(expected)))
    expected[offset:offset + len(data)] = data


def expect_size(size):
    del expected[size:]
    expected.extend(bytes(size - len(expected)))


def first_difference(found, want, offset=0):
    """Where bytes differ first, as text; "" when nowhere. `offset` is the place of the first byte."""
    if found == want:
        return ""
    length = min(len(found), len(want))
    at = next((i for i in range(length) if found[i] != want[i]), length)
    return (f"at {offset + at}: found {bytes(found[at:at + 16])}, up to {offset + len(found)}, "
            f"expected {bytes(want[at:at + 16])}, up to {offset + len(want)}")


def differs(fd):
    """Compares size, every byte that a descriptor gives, and what is behind the end."""
    size = os.fstat(fd).st_size
    if size != len(expected):
        return f"size {size}, expected {len(expected)}"
    return first_difference(os.pread(fd, len(expected) + 4096, 0), expected)


def differs_mapped(address):
    """Also the bytes between the end of the file and the end of its page, which have to be zero."""
    size = len(expected)
    if size == 0:
        return ""
    found = ctypes.string_at(address, -(-size // 4096) * 4096)
    if found[size:].strip(b"\0"):
        return "not zero behind the end"
    return first_difference(found[:size], expected)


def numbered(offset, length):
    """Bytes that tell their own place in the file; none is zero."""
    return bytes(((at >> 8) * 37 + at) % 251 + 1 for at in range(offset, offset + length))


def follow(fd, address, size):
    """Reads a file of numbered bytes while it grows, until it has `size` bytes; answers with what is wrong.

    A read may end where the file ended a moment ago (read(2) of a file that grows promises no more), and is
    tried again; the bytes that it gives are right.
    """
    seen = 0
    while seen < size:
        now = os.fstat(fd).st_size
        if now < seen:
            return f"shrank from {seen} to {now}"
        if now == seen:
            continue
        start = max(0, seen - 5000)
        want = numbered(start, now - start)
        found = os.pread(fd, now - start, start)
        if len(found) < len(want) and want.startswith(found):
            continue
        if found != want:
            return f"read with size {now}, before {seen}: {first_difference(found, want, start)}"
        if address:
            found = ctypes.string_at(address + start, now - start)
            if found != want:
                return f"mapped with size {now}, before {seen}: {first_difference(found, want, start)}"
        seen = now
    return ""


def output_of(path, *arguments):
    reading, writing = os.pipe()
    redirect = [(os.POSIX_SPAWN_DUP2, writing, 1)]
    pid = os.posix_spawn(path, [path, *arguments], {}, file_actions=redirect)
    os.close(writing)
    output = os.read(reading, 65536)
    os.close(reading)
    os.waitpid(pid, 0)
    return output


def make_files(directory, prefix, count):
    """Empty files: the prefix and a number of five digits."""
    for number in range(count):
        os.close(os.open(b"%s/%s%05d" % (directory, prefix, number), os.O_WRONLY | os.O_CREAT, 0o666))


scanning = []


def scan_begin(directory, count):
    """The first names of a listing that scan_end goes on with."""
    scanning.append(os.scandir(directory))
    return [next(scanning[-1]).name for _ in range(count)]


def scan_end():
    return [entry.name for entry in scanning.pop()]


def look_at_files(directory, prefix, count):
    for number in range(count):
        path = b"%s/%s%05d" % (directory, prefix, number)
        os.stat(path)
        os.close(os.open(path, os.O_RDONLY))


def drop_caches():
    """The kernel forgets inodes and names that nobody uses (needs root)."""
    write_file(b"/proc/sys/vm/drop_caches", b"2")


def reset():
    """Back to the state after the start, as far as a file system can notice."""
    for address in list(mappings):
        munmap(address)
    channels.clear()
    os.closerange(3, 4096)
    os.chdir("/")
    os.umask(0o022)
    expected.clear()


def sleep_until_clock_moves():
    """Waits until a file changed now gets another ctime than one changed before the call."""
    before = time.clock_gettime(6)  # CLOCK_MONOTONIC_COARSE, the clock that file times are made of
    while time.clock_gettime(6) == before:
        time.sleep(0.001)


def fork_holding(seconds):
    """A child that has this process's descriptors, and sleeps."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(seconds)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        while True:
            signal.pause()
    return pid


interruptible = False  # Inside a call that no signal has ended yet.


def interrupted(_signal, _frame):
    global interruptible
    if interruptible:
        interruptible = False
        raise InterruptedError(errno.EINTR, "interrupted")


def decode(value):
    """Lists become tuples: what takes a list in the os module takes a tuple too."""
    if isinstance(value, dict):
        return value["b"].encode("latin1") if "b" in value else int(value["i"])
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    return value


def encode(value):
    if isinstance(value, (bytes, bytearray)):
        return {"b": value.decode("latin1")}
    if isinstance(value, bool) or value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else {"i": str(value)}
    if isinstance(value, os.stat_result):
        result = {name: getattr(value, "st_" + name) for name in
                  ("mode", "ino", "dev", "nlink", "uid", "gid", "rdev", "size", "blocks", "blksize")}
        for name in ("atime", "mtime", "ctime"):
            result[name] = {"i": str(getattr(value, f"st_{name}_ns"))}
        return result
    if isinstance(value, os.statvfs_result):
        return {name: getattr(value, name) for name in
                ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_namemax")}
    return [encode(item) for item in value]


def find(name):
    return getattr(os, name[3:]) if name.startswith("os.") else globals()[name]


def become(uid, gid, groups):
    os.setgroups([int(group) for group in groups.split(",") if group])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, or the process's files in /proc become root's


def main():
    global interruptible
    if len(sys.argv) > 1:
        become(*sys.argv[1:])
    os.umask(0o022)
    signal.signal(signal.SIGUSR1, interrupted)
    for line in sys.stdin.buffer:
        name, arguments, keywords = json.loads(line)
        arguments = decode(arguments)
        keywords = {key: decode(value) for key, value in keywords.items()}
        try:
            interruptible = True
            result = find(name)(*arguments, **keywords)
            interruptible = False
            answer = {"r": encode(result)}
        except OSError as error:
            answer = {"e": errno.errorcode.get(error.errno, str(error.errno)), "m": f"{name}: {error}"}
        except Exception as error:  # The test sees it; the process stays for the next call.
            answer = {"e": type(error).__name__, "m": f"{name}: {error}"}
        interruptible = False
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
