"""A program that works on a mailbox with Python's mailbox module, one step for each line of standard input.

lock, unlock; remove ID (the message with that subject); flush, which writes what is left to a new file and renames
it over the mailbox; "pause", and the next flush says "written" before the rename and waits for one more line. Each
step is answered with a line: ok, or the name of the exception. Argument: the path of the mailbox.
"""
import mailbox
import os
import sys

box = mailbox.mbox(sys.argv[1], create=False)
pauses = False


class PausingOs:
    """Stands between the mailbox module and os."""

    def __getattr__(self, name):
        return getattr(os, name)

    @staticmethod
    def rename(old, new):
        global pauses
        if pauses:
            pauses = False
            print("written", flush=True)
            sys.stdin.readline()
        os.rename(old, new)


mailbox.os = PausingOs()


def remove(subject):
    for key, message in box.items():
        if message["subject"] == subject:
            del box[key]
            return
    raise KeyError(subject)


def step(word, *arguments):
    global pauses
    if word == "pause":
        pauses = True
    elif word == "remove":
        remove(*arguments)
    else:
        getattr(box, word)()


while line := sys.stdin.readline():
    try:
        step(*line.split())
        print("ok", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
