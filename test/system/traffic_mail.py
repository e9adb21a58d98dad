"""The messages of mbox files, read as Python's mailbox module reads them: a line of JSON for each file with the
number and the hash of each message (traffic-mail.ts says what is hashed). Arguments: the files. Each is read under a lock,
for a session that has said goodbye may still be writing."""

import fcntl
import hashlib
import json
import mailbox
import re
import signal
import sys

ADDED = {
    b"status", b"x-status", b"x-uid", b"x-imap", b"x-imapbase", b"x-keywords", b"content-length",
    b"return-path", b"x-original-to", b"delivered-to",
}
SERVER = b"by mx.example.test "


def describe(message):
    end = message.find(b"\n\n")
    header, body = message[: end + 1], message[end + 2 :]
    kept = []
    for field in re.split(rb"^(?![ \t])", header, flags=re.M):
        name = field.split(b":")[0].rstrip().lower()
        if name in ADDED or (name == b"received" and SERVER in field):
            continue
        kept.append(field)
    number = re.search(rb"^X-Number: (\d+)$", header, flags=re.M)
    digest = hashlib.sha256(b"".join(kept) + b"\n" + body).hexdigest()
    return [int(number.group(1)) if number else header.decode("latin1"), digest]


# Nobody has a lock for so long.
signal.alarm(120)
for path in sys.argv[1:]:
    box = mailbox.mbox(path, create=False)
    fcntl.lockf(box._file, fcntl.LOCK_SH)
    print(json.dumps([describe(box.get_bytes(key)) for key in box.iterkeys()]))
    box._file.close()
