"""Programs that use a mount until its server dies, and remember what they were answered.

Arguments: kind, mount point, a word for the names. One dot is printed for each ten changes that were
answered; when a call fails because the server died, one line of JSON ends the program: what was
answered, in order, and what was under way.
"""
import errno
import json
import os
import sys

DEAD = (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV, errno.EIO)


class Load:
    def __init__(self, mount, word):
        self.mount = mount
        self.word = word
        self.done = []
        self.doing = None

    def path(self, name):
        return os.path.join(self.mount, name)

    def run(self, step):
        try:
            number = 0
            while True:
                step(number)
                number += 1
                if len(self.done) % 10 == 0:
                    print(".", end="", flush=True)
        except OSError as error:
            if error.errno not in DEAD:
                raise
        print()
        print(json.dumps({"done": self.done, "doing": self.doing}), flush=True)

    def change(self, what, call):
        """`what` was answered when `call` returns."""
        self.doing = what
        call()
        self.done.append(what)
        self.doing = None

    # Each message goes to three of five mailboxes.
    def deliver(self, number):
        line = f"{self.word}-{number:06d}"
        boxes = [f"box-{(number + i * 2) % 5}" for i in range(3)]
        private = f"<{line} ".encode()
        shared = (line + "x" * (number * 131 % 3000) + ">\n").encode()
        head = {"op": "deliver", "bodyBytes": len(shared) + 3 * len(private),
                "shared": [{"bytes": len(shared)}],
                "to": [{"path": box, "privateBytes": len(private)} for box in boxes]}
        request = json.dumps(head).encode() + b"\n" + shared + 3 * private
        self.change([line, boxes, (private + shared).decode()], lambda: self.request(request))

    def request(self, data):
        assert os.write(self.control, data) == len(data)
        reply = os.read(self.control, 1 << 16)
        answer = json.loads(reply) if reply else {"ok": False, "error": "EIO"}
        if not answer["ok"]:
            # The store's own words for the same death do not exist: anything else is a failure.
            raise OSError(getattr(errno, answer["error"]), str(answer))

    def append(self, number):
        line = f"{self.word}-{number:06d}" + "y" * (number * 97 % 2000) + "\n"

        def call():
            assert os.write(self.fd, line.encode()) == len(line)
            if self.durable:
                os.fsync(self.fd)

        self.change(line, call)

    # A name appears under another one, is replaced, is removed: the state of one slot follows the last answer.
    def rename(self, number):
        slot, new = f"{self.word}-slot-{number % 7}", f"{self.word}-new"
        content = f"{self.word}-{number:06d} " * (number % 50 + 1)
        if number % 11 == 10:
            gone = f"{self.word}-slot-{(number - 1) % 7}"
            return self.change(["unlink", gone], lambda: os.unlink(self.path(gone)))

        def write():
            fd = os.open(self.path(new), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            assert os.write(fd, content.encode()) == len(content)
            os.close(fd)

        self.change(["create", new, content], write)
        self.change(["rename", new, slot], lambda: os.rename(self.path(new), self.path(slot)))


def main():
    kind, mount, word = sys.argv[1:4]
    load = Load(mount, word)
    if kind == "deliver":
        load.control = os.open(load.path(".onespool"), os.O_RDWR)
    elif kind in ("append", "append-durable"):
        load.fd = os.open(load.path(word), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        load.durable = kind == "append-durable"
    step = {"deliver": load.deliver, "rename": load.rename}.get(kind, load.append)
    load.run(step)


main()
