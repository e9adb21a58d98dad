"""All of a tree that an import or a copy has to bring along, as JSON lines sorted by path.

Arguments: the directory. Reading leaves the times of reading as they are. Names are latin1, one character for each byte.
"""
import hashlib
import json
import os
import stat
import sys

OWN = ("trusted.onespool.import", "user.onespool.import")
top = os.fsencode(sys.argv[1])


def digest(path):
    result = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOATIME | os.O_NOFOLLOW), "rb") as file:
        while part := file.read(1 << 20):
            result.update(part)
    return result.hexdigest()


def attributes(path):
    names = [name for name in os.listxattr(path, follow_symlinks=False)
             if name.startswith(("user.", "trusted.")) and name not in OWN]
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in sorted(names)}


def look(path, name):
    found = os.lstat(path)
    entry = {
        "path": name.decode("latin1"),
        "mode": oct(found.st_mode),
        "owner": [found.st_uid, found.st_gid],
        "mtime": str(found.st_mtime_ns),
    }
    if stat.S_ISREG(found.st_mode):
        entry |= {"size": found.st_size, "atime": str(found.st_atime_ns), "links": found.st_nlink,
                  "sha256": digest(path)}
    if stat.S_ISLNK(found.st_mode):
        # Node sets these times to the microsecond.
        entry |= {"to": os.readlink(path).decode("latin1"), "mtime": str(round(found.st_mtime_ns, -6))}
    else:
        entry["xattrs"] = attributes(path)
    return entry


entries = []
for directory, below, files in os.walk(top):
    for name in [b""] * (directory == top) + below + files:
        path = os.path.join(directory, name)
        entries.append(look(path, os.path.relpath(path, top)))
for entry in sorted(entries, key=lambda entry: entry["path"]):
    print(json.dumps(entry))
