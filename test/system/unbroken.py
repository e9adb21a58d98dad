"""Programs that use a mount whose server is killed again and again, and must not notice.

Arguments: kind, mount point, a word for the names, a file whose existence ends the program. Any error, wrong byte or
name ends it at once with a traceback. One dot is printed for each ten rounds; the last line is a word on what is
to be found in the mount afterwards, as JSON.
"""
import fcntl
import json
import mmap
import os
import random
import sys

kind, mount, word, stop = sys.argv[1:5]
rng = random.Random(word)


def path(name):
    return os.path.join(mount, name)


def text(name):
    with open(path(name), "rb") as file:
        return file.read()


def fill(fd, data):
    assert os.write(fd, data) == len(data)


def append(flags):
    """What is appended is there once, in order, whichever process took it."""
    fd = os.open(path(word), os.O_RDWR | os.O_CREAT | os.O_APPEND | flags)
    whole = b""
    while (yield):
        line = b"%s %d %s\n" % (word.encode(), len(whole), b"x" * rng.randrange(3000))
        fill(fd, line)
        whole += line
        assert os.fstat(fd).st_size == len(whole)
    assert text(word) == whole, "appended bytes"


def change(unlinked):
    """Reads and writes at any place of an open file against a model; the file may have no name any more."""
    fd = os.open(path(word), os.O_RDWR | os.O_CREAT)
    if unlinked:
        os.unlink(path(word))
    model = bytearray()
    while (yield):
        at = rng.randrange(len(model) + 1)
        data = rng.randbytes(rng.randrange(1, 5000))
        assert os.pwrite(fd, data, at) == len(data)
        model[len(model):at + len(data)] = b"\0" * max(0, at + len(data) - len(model))
        model[at:at + len(data)] = data
        if rng.randrange(20) == 0:
            size = rng.randrange(len(model) + 1)
            os.ftruncate(fd, size)
            del model[size:]
        at = rng.randrange(len(model) + 1)
        assert os.pread(fd, 9000, at) == model[at:at + 9000], "bytes of an open file"
        assert os.fstat(fd).st_size == len(model), "size of an open file"
    assert os.fstat(fd).st_nlink == (0 if unlinked else 1)
    os.close(fd)


def names():
    """Every change of a name succeeds and happens once."""
    os.mkdir(path(word))
    model = {}
    number = 0
    while (yield):
        number += 1
        name, other = (f"{word}/{rng.randrange(12)}" for _ in range(2))
        if name not in model:
            how = rng.randrange(4)
            if how == 0:
                os.mkdir(path(name))
                model[name] = None
            elif how == 1:
                os.symlink(str(number), path(name))
                model[name] = number
            else:
                fd = os.open(path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                fill(fd, b"%d" % number)
                os.close(fd)
                model[name] = number
        elif model[name] is None:
            os.rmdir(path(name))
            del model[name]
        elif other not in model and rng.randrange(2):
            how = rng.randrange(2)
            if how and not os.path.islink(path(name)):
                os.link(path(name), path(other))
                model[other] = model[name]
            else:
                os.rename(path(name), path(other))
                model[other] = model.pop(name)
        else:
            os.unlink(path(name))
            del model[name]
    assert sorted(os.listdir(path(word))) == sorted(name.split("/")[1] for name in model)
    for name, value in model.items():
        if os.path.islink(path(name)):
            assert os.readlink(path(name)) == str(value)
        elif value is not None:
            assert text(name) == b"%d" % value


def count(lock):
    """Programs that add to one number under a lock: none is lost. Argument 5 names the file."""
    fd = os.open(path(sys.argv[5]), os.O_RDWR | os.O_CREAT)
    added = 0
    while (yield):
        lock(fd, fcntl.LOCK_EX)
        number = int(os.pread(fd, 20, 0) or b"0")
        assert os.pwrite(fd, b"%d" % (number + 1), 0) > 0
        lock(fd, fcntl.LOCK_UN)
        added += 1
    print(json.dumps({"added": added}), flush=True)


def listing():
    """A directory that does not change is listed whole, read in small pieces, each name once."""
    os.mkdir(path(word))
    wanted = sorted(f"{word}-{number:05d}-{'n' * 40}" for number in range(300))
    for name in wanted:
        os.close(os.open(path(f"{word}/{name}"), os.O_WRONLY | os.O_CREAT))
    while (yield):
        with os.scandir(path(word)) as entries:
            assert sorted(entry.name for entry in entries) == wanted


def reading():
    """A mapped file and one that is read through the cache."""
    data = rng.randbytes(3_000_000)
    with open(path(word), "wb") as file:
        file.write(data)
    fd = os.open(path(word), os.O_RDONLY)
    mapped = mmap.mmap(fd, len(data), prot=mmap.PROT_READ)
    while (yield):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        at = rng.randrange(len(data))
        assert os.pread(fd, 200_000, at) == data[at:at + 200_000]
        assert mapped[at:at + 5000] == data[at:at + 5000]


def request(fd, head, body=b""):
    fill(fd, json.dumps({**head, "bodyBytes": len(body)}).encode() + b"\n" + body)
    reply = b""
    while not reply.endswith(b"\n"):
        piece = os.read(fd, 100)
        assert piece, "no reply"
        reply += piece
    answer = json.loads(reply)
    assert answer["ok"], answer
    return answer


def deliver():
    """Each delivery is in each of its mailboxes once. One open of the control file for all of them."""
    fd = os.open(path(".onespool"), os.O_RDWR)
    done = []
    while (yield):
        name = f"{word}-{len(done)}"
        shared = f"<{name}{'s' * rng.randrange(30_000)}>\n".encode()
        boxes = rng.sample(["box-0", "box-1", "box-2", "box-3"], 3)
        to = [{"path": box, "create": {"mode": 0o600}} for box in boxes]
        if len(done) % 3:
            answer = request(fd, {"op": "deliver", "shared": [{"bytes": len(shared)}], "to": to}, shared)
        else:
            [unit] = request(fd, {"op": "write", "lengths": [len(shared)]}, shared)["units"]
            answer = request(fd, {"op": "deliver", "shared": [{"unit": unit}], "to": to})
        assert answer["delivered"] == 3, answer
        done.append([name, boxes])
    print(json.dumps({"delivered": done}), flush=True)


kinds = {
    "append": lambda: append(0),
    "append-sync": lambda: append(os.O_SYNC),
    "change": lambda: change(False),
    "unlinked": lambda: change(True),
    "names": names,
    "fcntl": lambda: count(fcntl.lockf),
    "flock": lambda: count(fcntl.flock),
    "listing": listing,
    "reading": reading,
    "deliver": deliver,
}
steps = kinds[kind]()
next(steps)
rounds = 0
while not os.path.exists(stop):
    steps.send(True)
    rounds += 1
    if rounds % 10 == 0:
        print(".", end="", flush=True)
print(flush=True)
try:
    steps.send(False)
except StopIteration:
    pass
