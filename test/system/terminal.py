"""A program at a terminal: what comes on standard input is typed, what it shows goes to standard output.

Arguments: rows, columns, and the program with its arguments. The end of standard input hangs up. Ends as the program does.
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

rows, columns = int(sys.argv[1]), int(sys.argv[2])
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execvp(sys.argv[3], sys.argv[3:])

sources = [0, terminal]
while terminal in sources:
    for source in select.select(sources, [], [])[0]:
        try:
            data = os.read(source, 65536)
        except OSError:  # EIO: the other side of the terminal is closed.
            data = b""
        if source == terminal and data:
            os.write(1, data)
        elif data:
            os.write(terminal, data)
        else:
            sources.remove(source)
            if source == 0:
                os.kill(pid, signal.SIGHUP)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status) & 0xff)
