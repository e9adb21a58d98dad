"""A POP3 client that a test drives: Python's poplib, logged in as a user. Arguments: port, user. A line of standard input
is a JSON array [method, arguments...] of poplib.POP3, "command" standing for one that poplib does not have; the answer is a line
of JSON: the reply without its octet count, bytes as latin1, or {"error": text}. The end of standard input ends the process."""

import json
import poplib
import sys

client = poplib.POP3("127.0.0.1", int(sys.argv[1]), timeout=60)
client.user(sys.argv[2])
client.pass_("secret")


def plain(value):
    if isinstance(value, bytes):
        return value.decode("latin1")
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


for line in sys.stdin:
    method, *arguments = json.loads(line)
    try:
        if method == "command":
            answer = client._shortcmd(*arguments)
        else:
            answer = getattr(client, method)(*arguments)
    except poplib.error_proto as error:
        answer = {"error": str(error)}
    print(json.dumps(plain(answer)), flush=True)
