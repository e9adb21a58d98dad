"""Removes messages from a mailbox with Python's mailbox module, over and over, until standard input ends.

Arguments: the path and a suffix of subjects. Prints the subjects that it has removed, each when the new file stands
in the mailbox's place. Others lock and change the mailbox too: it is opened anew for each look.
"""
import mailbox
import select
import sys

path, suffix = sys.argv[1:]


def remove_some():
    box = mailbox.mbox(path, create=False)
    try:
        box.lock()
    except mailbox.ExternalClashError:
        box._file.close()
        return
    try:
        found = [(key, message["subject"]) for key, message in box.items()]
        removed = [(key, subject) for key, subject in found if subject.endswith(suffix)][:5]
        for key, _ in removed:
            del box[key]
        box.flush()
        for _, subject in removed:
            print(subject, flush=True)
    finally:
        box.unlock()
        box._file.close()


while not select.select([sys.stdin], [], [], 0.05)[0]:
    remove_some()
