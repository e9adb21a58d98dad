#!/usr/bin/env python3
"""A small client of the hints, as an example and a tool; docs/HINTS.md is the reference.

    onespool_client.py MOUNT deliver [-c] FILE MAILBOX...   append FILE to mailboxes, - for standard input;
                                                            -c makes those that are missing
    onespool_client.py MOUNT statistics [PATH]

MAILBOX and PATH are relative to the root of the mount. It prints the reply, and ends with 0 when the
request was carried out, 1 when it was refused, 2 when it could not be made.
"""

import base64
import errno
import fcntl
import json
import os
import struct
import sys

CONTROL_NAME = ".onespool"
VERSION = 1
BYTES_MAX = 16368
_HEADER = struct.Struct("=II")
_SIZE = _HEADER.size + BYTES_MAX
# _IOWR('O', 1, struct onespool_hint), as asm-generic/ioctl.h packs it.
COMMAND = 3 << 30 | _SIZE << 16 | ord("O") << 8 | 1


class HintError(Exception):
    """A request that was refused; `reply` says why."""

    def __init__(self, reply):
        super().__init__(f"{reply['error']}: {reply.get('path', '')}: {reply['message']}")
        self.reply = reply


def path_field(path):
    """A path for a request: text where its bytes are UTF-8, else base64."""
    raw = os.fsencode(path)
    try:
        return {"path": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path64": base64.b64encode(raw).decode("ascii")}


def ioctl(fd, request):
    """The reply to a request's bytes, through any open file of the mount. Raises OSError."""
    if len(request) > BYTES_MAX:
        raise OSError(errno.EMSGSIZE, "the request does not fit into an ioctl")
    hint = bytearray(_HEADER.pack(VERSION, len(request)) + request.ljust(BYTES_MAX, b"\0"))
    fcntl.ioctl(fd, COMMAND, hint)
    length = _HEADER.unpack_from(hint)[1]
    return bytes(hint[_HEADER.size : _HEADER.size + length])


class Client:
    """One conversation with the mount, with the rights that this process has now."""

    def __init__(self, mount):
        self._fd = os.open(os.path.join(mount, CONTROL_NAME), os.O_RDWR | os.O_CLOEXEC)

    def close(self):
        os.close(self._fd)

    def request(self, fields, body=b""):
        """The reply as a dict. Raises HintError when refused."""
        line = json.dumps({**fields, "bodyBytes": len(body)}, separators=(",", ":"))
        request = line.encode("ascii") + b"\n" + body
        reply = json.loads(self._exchange(request))
        if not reply["ok"]:
            raise HintError(reply)
        return reply

    def deliver(self, shared, mailboxes, create=None):
        """Appends bytes to mailboxes: to all of them or to none, durable on return."""
        to = [path_field(path) | ({"create": create} if create else {}) for path in mailboxes]
        return self.request({"op": "deliver", "shared": [{"bytes": len(shared)}], "to": to}, shared)

    def statistics(self, path=None):
        return self.request({"op": "statistics", **(path_field(path) if path else {})})

    def _exchange(self, request):
        if len(request) <= BYTES_MAX:
            try:
                return ioctl(self._fd, request)
            except OSError as error:
                # A binding without ioctl: write and read do the same.
                if error.errno not in (errno.ENOTTY, errno.ENOSYS):
                    raise
        view = memoryview(request)
        while view:
            view = view[os.write(self._fd, view) :]
        reply = b""
        while not reply.endswith(b"\n"):
            part = os.read(self._fd, 65536)
            if not part:
                raise OSError(errno.EIO, "no reply")
            reply += part
        return reply


def main(arguments):
    create = None
    if arguments[1:3] == ["deliver", "-c"]:
        create = {"mode": 0o600}
        del arguments[2]
    try:
        if len(arguments) >= 4 and arguments[1] == "deliver":
            name = arguments[2]
            with sys.stdin.buffer if name == "-" else open(name, "rb") as file:
                shared = file.read()
            reply = Client(arguments[0]).deliver(shared, arguments[3:], create)
        elif len(arguments) in (2, 3) and arguments[1] == "statistics":
            reply = Client(arguments[0]).statistics(*arguments[2:])
        else:
            sys.stderr.write(__doc__)
            return 2
    except HintError as error:
        print(json.dumps(error.reply))
        return 1
    except OSError as error:
        print(f"onespool_client: {error}", file=sys.stderr)
        return 2
    print(json.dumps(reply))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
