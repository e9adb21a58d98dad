"""Random operations in a directory of its own, each compared with a model in memory.

Arguments: directory, seed, number of operations, and perhaps "without-links": no hard links. Ends with 0 when every answer and the final state are
what the model says; else it says what was different, with the seed and the number of the operation.
"""
import errno
import os
import random
import sys

NAMES = [f"n{i}" for i in range(12)]
LENGTH_MAX = 60_000


class File:
    def __init__(self):
        self.data = bytearray()
        self.links = 1


class Stress:
    """Directories are two levels deep: names of the top hold files, links or directories of files."""

    def __init__(self, top, seed, has_links):
        self.top = top
        self.has_links = has_links
        self.random = random.Random(seed)
        self.tree = {}  # name -> File, str (symlink's target) or dict
        self.open = []  # [fd, File]

    def path(self, place):
        return os.path.join(self.top, *place)

    def place(self):
        """A random place: one name, or a name in a directory."""
        name = self.random.choice(NAMES)
        if isinstance(self.tree.get(name), dict) and self.random.random() < 0.7:
            return (name, self.random.choice(NAMES))
        return (name,)

    def parent(self, place):
        return self.tree if len(place) == 1 else self.tree[place[0]]

    def get(self, place):
        return self.parent(place).get(place[-1])

    def put(self, place, value):
        self.parent(place)[place[-1]] = value

    def drop(self, place):
        value = self.parent(place).pop(place[-1])
        if isinstance(value, File):
            value.links -= 1

    def bytes(self):
        return self.random.randbytes(int(self.random.random() ** 3 * 9000) + 1)

    def fails(self, code, function, *arguments):
        try:
            function(*arguments)
        except OSError as error:
            assert error.errno in (code if isinstance(code, tuple) else (code,)), (error, code)
        else:
            raise AssertionError(f"{function.__name__}{arguments} did not fail with {code}")

    def step(self):
        self.random.choice([
            self.write, self.write, self.append, self.append, self.read, self.read, self.truncate,
            self.rename, self.unlink, self.mkdir, self.link, self.symlink, self.stat, self.list,
            self.open_one, self.use_open, self.use_open, self.close_one,
        ])()

    def write(self):
        place = self.place()
        value = self.get(place)
        if isinstance(value, dict):
            return self.fails(errno.EISDIR, os.open, self.path(place), os.O_WRONLY)
        if isinstance(value, str):
            return None
        data = self.bytes()
        fd = os.open(self.path(place), os.O_RDWR | os.O_CREAT, 0o644)
        if value is None:
            value = File()
            self.put(place, value)
        self.write_at(fd, value, self.random.randint(0, len(value.data)), data)
        os.close(fd)

    def write_at(self, fd, file, offset, data):
        data = data[:max(0, LENGTH_MAX - offset)]
        assert os.pwrite(fd, data, offset) == len(data)
        file.data[offset:offset + len(data)] = data

    def append(self):
        place = self.place()
        value = self.get(place)
        if not isinstance(value, File) or len(value.data) > LENGTH_MAX:
            return
        fd = os.open(self.path(place), os.O_WRONLY | os.O_APPEND)
        data = self.bytes()
        assert os.write(fd, data) == len(data)
        os.close(fd)
        value.data += data

    def read(self):
        place = self.place()
        value = self.get(place)
        if value is None:
            return self.fails(errno.ENOENT, os.open, self.path(place), os.O_RDONLY)
        if not isinstance(value, File):
            return None
        fd = os.open(self.path(place), os.O_RDONLY)
        self.compare(fd, value)
        os.close(fd)

    def compare(self, fd, file):
        found = os.pread(fd, len(file.data) + 100, 0)
        assert found == file.data, f"{len(found)} bytes differ from the model's {len(file.data)}"

    def truncate(self):
        place = self.place()
        value = self.get(place)
        if not isinstance(value, File):
            return
        self.cut(value, self.random.randint(0, len(value.data) + 500),
                 lambda size: os.truncate(self.path(place), size))

    def cut(self, file, size, truncate):
        truncate(size)
        del file.data[size:]
        file.data.extend(bytes(size - len(file.data)))

    def rename(self):
        old, new = self.place(), self.place()
        value, target = self.get(old), self.get(new)
        call = (os.rename, self.path(old), self.path(new))
        if value is None:
            return self.fails(errno.ENOENT, *call)
        if isinstance(value, dict):
            if len(new) == 2:
                # Into itself, or to a third level, which the model does not have.
                return self.fails(errno.EINVAL, *call) if new[0] == old[0] else None
            if old == new:
                return os.rename(*call[1:])
            if isinstance(target, dict) and target:
                return self.fails(errno.ENOTEMPTY, *call)
            if target is not None and not isinstance(target, dict):
                return self.fails(errno.ENOTDIR, *call)
        elif isinstance(target, dict):
            # The parent of what is renamed is a directory that is not empty, whichever is asked first.
            return self.fails((errno.EISDIR, errno.ENOTEMPTY), *call)
        os.rename(*call[1:])
        if old == new or (isinstance(value, File) and value is target):
            return None
        if target is not None:
            self.drop(new)
        self.put(new, value)
        del self.parent(old)[old[-1]]

    def unlink(self):
        place = self.place()
        value = self.get(place)
        path = self.path(place)
        if value is None:
            return self.fails(errno.ENOENT, os.unlink, path)
        if isinstance(value, dict):
            if value:
                return self.fails(errno.ENOTEMPTY, os.rmdir, path)
            os.rmdir(path)
        else:
            os.unlink(path)
        self.drop(place)

    def mkdir(self):
        place = (self.random.choice(NAMES),)
        if self.get(place) is not None:
            return self.fails(errno.EEXIST, os.mkdir, self.path(place))
        os.mkdir(self.path(place))
        self.put(place, {})

    def link(self):
        old, new = self.place(), self.place()
        value = self.get(old)
        if not isinstance(value, File) or not self.has_links:
            return
        if self.get(new) is not None:
            return self.fails(errno.EEXIST, os.link, self.path(old), self.path(new))
        os.link(self.path(old), self.path(new))
        self.put(new, value)
        value.links += 1

    def symlink(self):
        place = self.place()
        target = "t" * self.random.randint(1, 200)
        if self.get(place) is not None:
            return self.fails(errno.EEXIST, os.symlink, target, self.path(place))
        os.symlink(target, self.path(place))
        self.put(place, target)

    def stat(self):
        place = self.place()
        value = self.get(place)
        if value is None:
            return self.fails(errno.ENOENT, os.lstat, self.path(place))
        self.compare_stat(os.lstat(self.path(place)), value)

    def compare_stat(self, stat, value):
        if isinstance(value, File):
            assert (stat.st_size, stat.st_nlink) == (len(value.data), value.links), (stat, len(value.data), value.links)
        elif isinstance(value, str):
            assert stat.st_size == len(value), stat

    def list(self):
        names = sorted(os.listdir(self.top))
        assert names == sorted(self.tree), (names, sorted(self.tree))

    def open_one(self):
        place = self.place()
        value = self.get(place)
        if isinstance(value, File) and len(self.open) < 20:
            self.open.append([os.open(self.path(place), os.O_RDWR), value])

    def use_open(self):
        if not self.open:
            return
        fd, file = self.random.choice(self.open)
        action = self.random.randrange(4)
        if action == 0:
            self.compare(fd, file)
        elif action == 1:
            self.write_at(fd, file, self.random.randint(0, len(file.data)), self.bytes())
        elif action == 2:
            self.cut(file, self.random.randint(0, len(file.data)), lambda size: os.ftruncate(fd, size))
        else:
            self.compare_stat(os.fstat(fd), file)

    def close_one(self):
        if self.open:
            fd, file = self.open.pop(self.random.randrange(len(self.open)))
            self.compare(fd, file)
            os.close(fd)

    def check(self):
        for fd, file in self.open:
            self.compare(fd, file)
            os.close(fd)
        self.open.clear()
        self.check_directory(self.top, self.tree)

    def check_directory(self, path, names):
        assert sorted(os.listdir(path)) == sorted(names), path
        for name, value in names.items():
            inside = os.path.join(path, name)
            if isinstance(value, dict):
                self.check_directory(inside, value)
            elif isinstance(value, str):
                assert os.readlink(inside) == value, inside
            else:
                self.compare_stat(os.lstat(inside), value)
                with open(inside, "rb") as file:
                    assert file.read() == value.data, inside


def main():
    top, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.mkdir(top)
    stress = Stress(top, seed, "without-links" not in sys.argv[4:])
    for number in range(count):
        try:
            stress.step()
        except (AssertionError, OSError) as error:
            sys.exit(f"seed {seed}, operation {number}: {type(error).__name__}: {error}"[:2000])
    stress.check()


main()
