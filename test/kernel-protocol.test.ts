/** The FUSE protocol by hand-made bytes, without a mount. */
import fc from "fast-check";
import t from "tap";
import { InvariantError } from "../base/assert.ts";
import {
  EAGAIN,
  EEXIST,
  EFBIG,
  EINTR,
  EINVAL,
  EIO,
  ENODATA,
  ENOENT,
  ENOSPC,
  ENOSYS,
  ENOTTY,
  ENXIO,
  EPROTO,
  ERANGE,
} from "../base/errno.ts";
import {
  FUSE_LK_FLOCK,
  FUSE_WRITE_KILL_SUIDGID,
  attr,
  attrFlag,
  attrOut,
  dirent,
  entryOut,
  fileLock,
  initFlag,
  initFlag2,
  initOut,
  ioctlOut,
  kstatfs,
  opcode,
  openFlag,
  openOut,
  setattrIn,
} from "../fs/kernel/abi.ts";
import { StoreError } from "../fs/store/errors.ts";
import {
  Speaker,
  handleOf,
  initBody,
  nodeOf,
  requestBytes,
  sizeOf,
  text,
  tick,
  u32,
  u64,
} from "./kernel-requests.ts";

const O_WRONLY = 1;
const O_RDWR = 2;
const O_NOATIME = 0o1000000;
const O_APPEND = 0o2000;
const S_IFREG = 0o100000;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const offsetMax = 0x7fff_ffff_ffff_ffffn;

const reading = (handle: number, offset: number, size: number): Buffer[] => [
  u64(handle),
  u64(offset),
  u32(size),
  Buffer.alloc(20),
];
const writing = (
  handle: number,
  offset: number,
  data: string,
  flags = O_RDWR,
  kill = 0,
): Buffer[] => [
  u64(handle),
  u64(offset),
  u32(data.length),
  u32(kill),
  u64(0),
  u32(flags),
  u32(0),
  Buffer.from(data),
];
const locking = (owner: number, type: number, start: number, end: bigint, flags = 0): Buffer[] => [
  u64(1),
  u64(owner),
  u64(start),
  u64(end),
  u32(type),
  u32(4242),
  u32(flags),
  u32(0),
];

t.test("INIT asks for what is needed and nothing that the kernel lacks", async (t) => {
  const all = new Speaker({ isInitialized: false });
  const { error, body } = all.ask("INIT", 0, initBody(7, 45));
  t.equal(error, 0);
  t.equal(body.length, initOut.sizeof);
  t.equal(body.readUInt32LE(initOut.major), 7);
  t.equal(body.readUInt32LE(initOut.minor), 40);
  t.equal(body.readUInt32LE(initOut.max_write), 1024 * 1024);
  t.equal(body.readUInt16LE(initOut.max_pages), 256);
  const flags = body.readUInt32LE(initOut.flags);
  t.ok(flags & initFlag.EXPLICIT_INVAL_DATA);
  t.notOk(flags & (1 << 12), "no AUTO_INVAL_DATA");
  t.notOk(flags & (1 << 16), "no WRITEBACK_CACHE");
  t.notOk(flags & (1 << 6), "no DONT_MASK: the kernel applies the umask");
  t.equal(body.readUInt32LE(initOut.flags2), initFlag2.DIRECT_IO_ALLOW_MMAP | initFlag2.HAS_RESEND);
  const few = new Speaker({ isInitialized: false });
  const old = few.ask("INIT", 0, initBody(7, 31, initFlag.MAX_PAGES).slice(0, 4));
  t.equal(old.error, 0);
  t.equal(old.body.readUInt32LE(initOut.flags), initFlag.MAX_PAGES);
  t.equal(old.body.readUInt32LE(initOut.flags2), 0);
});

t.test("INIT refuses a protocol that is too old and renegotiates a newer major", async (t) => {
  const old = new Speaker({ isInitialized: false });
  t.equal(old.ask("INIT", 0, initBody(7, 30)).error, EPROTO);
  t.match(old.protocol.session.refusal, /7\.30.*7\.31/);
  const future = new Speaker({ isInitialized: false });
  const { error, body } = future.ask("INIT", 0, initBody(8, 1));
  t.equal(error, 0);
  t.equal(body.readUInt32LE(initOut.major), 7);
  t.equal(future.ask("LOOKUP", 1, [text("a")]).error, EPROTO, "nothing is served before INIT");
  t.equal(future.ask("INIT", 0, initBody(7, 40)).error, 0);
});

t.test("names are made, found, moved and removed", async (t) => {
  const speaker = new Speaker();
  t.equal(speaker.ask("LOOKUP", 1, [text("a")]).error, ENOENT);
  const made = speaker.ask("MKNOD", 1, [u32(S_IFREG | 0o640), u32(0), u32(0), u32(0), text("a")]);
  t.equal(made.error, 0);
  t.equal(made.body.length, entryOut.sizeof);
  const ino = nodeOf(made);
  t.equal(made.body.readUInt32LE(entryOut.attr + attr.mode), S_IFREG | 0o640);
  t.equal(made.body.readUInt32LE(entryOut.attr + attr.uid), 1001);
  t.equal(made.body.readUInt32LE(entryOut.attr + attr.gid), 2001);
  t.equal(made.body.readUInt32LE(entryOut.attr + attr.mtimensec), 123_456_789);
  t.equal(Number(made.body.readBigUInt64LE(entryOut.entry_valid)), 3600);
  t.equal(made.unique, BigInt(speaker.lastUnique));
  t.equal(speaker.lookup("a"), ino);
  const directory = speaker.ask("MKDIR", 1, [u32(0o755), u32(0), text("d")]);
  const d = nodeOf(directory);
  t.equal(speaker.ask("RENAME", 1, [u64(d), text("a"), text("b")]).error, 0);
  t.equal(nodeOf(speaker.ask("LOOKUP", d, [text("b")])), ino);
  t.equal(speaker.ask("RENAME2", d, [u64(1), u32(0), u32(0), text("b"), text("c")]).error, 0);
  t.equal(nodeOf(speaker.ask("LINK", 1, [u64(ino), text("e")])), ino);
  t.equal(speaker.ask("LINK", 1, [u64(ino), text("e")]).error, EEXIST);
  const symlink = speaker.ask("SYMLINK", 1, [text("s"), text("to/é\xff")]);
  t.equal(
    speaker.ask("READLINK", nodeOf(symlink)).body.toString("latin1"),
    "to/é\xff",
    "any byte survives",
  );
  t.equal(speaker.ask("UNLINK", 1, [text("c")]).error, 0);
  t.equal(speaker.ask("RMDIR", 1, [text("d")]).error, 0);
  t.equal(nodeOf(speaker.ask("LOOKUP", d, [text(".")])), d, "for NFS");
  t.equal(nodeOf(speaker.ask("LOOKUP", d, [text("..")])), 1);
});

t.test("files are created, written, read, truncated and released", async (t) => {
  const speaker = new Speaker();
  const created = speaker.ask("CREATE", 1, [u32(O_RDWR), u32(0o600), u32(0), u32(0), text("f")]);
  t.equal(created.body.length, entryOut.sizeof + openOut.sizeof);
  const ino = nodeOf(created);
  const handle = handleOf(created, entryOut.sizeof);
  t.equal(created.body.readUInt32LE(entryOut.sizeof + openOut.open_flags), openFlag.KEEP_CACHE);
  const written = speaker.ask("WRITE", ino, writing(handle, 3, "hello"));
  t.equal(written.body.readUInt32LE(0), 5);
  t.equal(speaker.ask("READ", ino, reading(handle, 0, 100)).body.toString(), "\0\0\0hello");
  t.equal(speaker.ask("READ", ino, reading(handle, 6, 1)).body.toString(), "l");
  t.equal(speaker.ask("READ", ino, reading(handle, 2 ** 60, 1)).body.length, 0);
  t.equal(speaker.ask("WRITE", ino, writing(handle, 2 ** 60, "x")).error, EFBIG);
  const sized = speaker.ask("SETATTR", ino, [
    u32(attrFlag.SIZE | attrFlag.MTIME | attrFlag.ATIME_NOW | attrFlag.ATIME),
    u32(0),
    u64(handle),
    u64(4),
    Buffer.alloc(16),
    u64(-5),
    u64(0),
    u32(0),
    u32(999),
    Buffer.alloc(24),
  ]);
  t.equal(sized.body.length, attrOut.sizeof);
  t.equal(sizeOf(sized, attrOut.attr), 4);
  t.equal(sized.body.readBigInt64LE(attrOut.attr + attr.mtime), -5n, "before 1970");
  t.equal(sized.body.readUInt32LE(attrOut.attr + attr.mtimensec), 999);
  const got = speaker.ask("GETATTR", ino, [Buffer.alloc(16)]);
  t.same(got.body.subarray(attrOut.attr), sized.body.subarray(attrOut.attr));
  t.equal((await speaker.askSoon("FSYNC", ino, [u64(handle), u64(0)])).error, 0);
  t.equal((await speaker.askSoon("FSYNCDIR", 1, [u64(handle), u64(0)])).error, 0);
  t.equal((await speaker.askSoon("SYNCFS", 1, [u64(0)])).error, 0);
  t.equal(speaker.ask("FLUSH", ino, [u64(handle), u64(0), u64(9)]).error, 0);
  t.equal(speaker.ask("RELEASE", ino, [u64(handle), u64(0), u64(0)]).error, 0);
  t.equal(speaker.operations.openHandles.size, 0);
  t.not(speaker.ask("RELEASE", ino, [u64(handle), u64(0), u64(0)]).error, 0, "only once");
  const unnamed = speaker.ask("TMPFILE", 1, [u32(O_RDWR), u32(0o600), u64(0), text("/")]);
  t.equal(unnamed.body.readUInt32LE(entryOut.attr + attr.nlink), 0);
});

t.test("space, holes, copies and file system figures", async (t) => {
  const speaker = new Speaker();
  speaker.operations.put("f", "0123456789");
  speaker.operations.put("g", "");
  const [f, g] = [speaker.lookup("f"), speaker.lookup("g")];
  const allocate = [u64(1), u64(8), u64(8), u32(0), u32(0)];
  t.equal(speaker.ask("FALLOCATE", f, allocate).error, 0);
  t.equal(sizeOf(speaker.ask("GETATTR", f, [Buffer.alloc(16)]), attrOut.attr), 16);
  const seek = (offset: number, whence: number): Buffer[] => [
    u64(1),
    u64(offset),
    u32(whence),
    u32(0),
  ];
  t.equal(Number(speaker.ask("LSEEK", f, seek(2, 4)).body.readBigUInt64LE(0)), 16);
  t.equal(speaker.ask("LSEEK", f, seek(16, 3)).error, ENXIO);
  t.equal(speaker.ask("LSEEK", f, seek(0, 0)).error, EINVAL);
  const copy = [u64(1), u64(2), u64(g), u64(1), u64(0), u64(4), u64(0)];
  t.equal(speaker.ask("COPY_FILE_RANGE", f, copy).body.readUInt32LE(0), 4);
  t.equal(speaker.operations.node(g).data.toString(), "2345");
  const { body } = speaker.ask("STATFS", 1);
  t.equal(body.length, kstatfs.sizeof);
  t.equal(Number(body.readBigUInt64LE(kstatfs.bavail)), 500);
  t.equal(body.readUInt32LE(kstatfs.namelen), 255);
});

t.test("directories list . and .. first and continue behind any entry", async (t) => {
  const speaker = new Speaker();
  for (let index = 0; index < 10; index += 1) speaker.operations.put(`file${index}`, "");
  const handle = handleOf(speaker.ask("OPENDIR", 1, [u32(0), u32(0)]));
  for (const [name, prefix] of [
    ["READDIR", 0],
    ["READDIRPLUS", entryOut.sizeof],
  ] as const) {
    const names: string[] = [];
    let offset = 0;
    for (;;) {
      const { error, body } = await speaker.askSoon(name, 1, reading(handle, offset, 400));
      t.equal(error, 0);
      if (body.length === 0) break;
      for (let at = 0; at < body.length;) {
        const entry = at + prefix;
        const length = body.readUInt32LE(entry + dirent.namelen);
        const start = entry + dirent.sizeof;
        names.push(body.toString("latin1", start, start + length));
        offset = Number(body.readBigUInt64LE(entry + dirent.off));
        at = (start + length + 7) & ~7;
      }
    }
    t.same(names, [".", "..", ...Array.from({ length: 10 }, (_, index) => `file${index}`)]);
  }
  t.equal(speaker.protocol.session.knownCount, 10, "READDIRPLUS looks each entry up, not . and ..");
  t.equal((await speaker.askSoon("READDIR", 1, reading(handle, 5, 10))).error, EINVAL);
  t.equal(speaker.ask("RELEASEDIR", 1, [u64(handle), u64(0), u64(0)]).error, 0);
  t.equal(speaker.operations.openDirectories.size, 0);
});

t.test("extended attributes tell their length, and ERANGE", async (t) => {
  const speaker = new Speaker();
  speaker.operations.put("f", "");
  const ino = speaker.lookup("f");
  const get = (size: number): Buffer[] => [u32(size), u32(0), text("user.a")];
  t.equal(speaker.ask("GETXATTR", ino, get(0)).error, ENODATA);
  const set = [u32(3), u32(0), text("user.a"), Buffer.from("a\0b")];
  t.equal(speaker.ask("SETXATTR", ino, set).error, 0);
  t.equal(speaker.ask("GETXATTR", ino, get(0)).body.readUInt32LE(0), 3);
  t.equal(speaker.ask("GETXATTR", ino, get(2)).error, ERANGE);
  t.same(speaker.ask("GETXATTR", ino, get(3)).body, Buffer.from("a\0b"));
  t.equal(speaker.ask("LISTXATTR", ino, [u32(0), u32(0)]).body.readUInt32LE(0), 7);
  t.equal(speaker.ask("LISTXATTR", ino, [u32(6), u32(0)]).error, ERANGE);
  t.equal(speaker.ask("LISTXATTR", ino, [u32(7), u32(0)]).body.toString(), "user.a\0");
  t.equal(speaker.ask("REMOVEXATTR", ino, [text("user.a")]).error, 0);
  t.equal(speaker.ask("REMOVEXATTR", ino, [text("user.a")]).error, ENODATA);
  const long = [u32(9), u32(0), text("user.a"), Buffer.from("abc")];
  t.equal(speaker.ask("SETXATTR", ino, long).error, EINVAL, "the value ends too early");
});

t.test("locks conflict, are asked about, waited for and interrupted", async (t) => {
  const speaker = new Speaker();
  speaker.operations.put("f", "");
  const ino = speaker.lookup("f");
  t.equal(speaker.ask("SETLK", ino, locking(1, F_WRLCK, 10, offsetMax)).error, 0);
  t.equal(speaker.ask("SETLK", ino, locking(2, F_RDLCK, 20, 30n)).error, EAGAIN);
  const { body } = speaker.ask("GETLK", ino, locking(2, F_RDLCK, 0, 100n));
  t.equal(body.readUInt32LE(fileLock.type), F_WRLCK);
  t.equal(Number(body.readBigUInt64LE(fileLock.start)), 10);
  t.equal(body.readBigUInt64LE(fileLock.end), offsetMax);
  t.equal(body.readUInt32LE(fileLock.pid), 4242);
  const free = speaker.ask("GETLK", ino, locking(2, F_RDLCK, 0, 5n)).body;
  t.equal(free.readUInt32LE(fileLock.type), F_UNLCK);
  t.equal(speaker.ask("SETLK", ino, locking(2, 77, 0, 5n)).error, EINVAL);
  t.equal(speaker.ask("SETLK", ino, locking(2, F_RDLCK, 9, 5n)).error, EINVAL);
  const flock = locking(3, F_WRLCK, 0, offsetMax, FUSE_LK_FLOCK);
  t.equal(speaker.ask("SETLK", ino, flock).error, 0, "flock and fcntl do not meet");

  const before = speaker.replies.length;
  const waiting = speaker.send("SETLKW", ino, locking(2, F_RDLCK, 20, 30n));
  await tick();
  t.equal(speaker.replies.length, before, "the lock is taken");
  speaker.send("INTERRUPT", 0, [u64(waiting)]);
  await tick();
  t.same([speaker.replies.at(-1)?.error, speaker.replies.at(-1)?.unique], [EINTR, BigInt(waiting)]);

  speaker.send("INTERRUPT", 0, [u64(speaker.lastUnique + 4)]);
  const overtaken = await speaker.askSoon("SETLKW", ino, locking(2, F_RDLCK, 20, 30n));
  t.equal(overtaken.error, EINTR, "an INTERRUPT may overtake its request");

  const second = speaker.send("SETLKW", ino, locking(2, F_RDLCK, 20, 30n));
  t.equal(speaker.ask("SETLK", ino, locking(1, F_UNLCK, 0, offsetMax)).error, 0);
  await tick();
  t.same([speaker.replies.at(-1)?.error, speaker.replies.at(-1)?.unique], [0, BigInt(second)]);
  t.equal(speaker.protocol.waitingCount, 0);
});

t.test("an interrupt does not end a read: programs do not expect EINTR of a file", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "abc");
  speaker.lookup("f");
  const handle = speaker.open(ino, O_RDWR);
  speaker.operations.slowInode = ino;
  const before = speaker.replies.length;
  const unique = speaker.send("READ", ino, reading(handle, 0, 3));
  speaker.send("INTERRUPT", 0, [u64(unique)]);
  speaker.operations.finishReads();
  await tick();
  t.same(
    speaker.replies.slice(before).map(({ error }) => error),
    [0],
  );
});

t.test("ioctl carries bytes both ways", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "");
  const body = (command: number, input: string): Buffer[] => [
    u64(1),
    u32(0),
    u32(command),
    u64(0),
    u32(input.length),
    u32(8),
    Buffer.from(input),
  ];
  const reply = speaker.ask("IOCTL", ino, body(0xc008_4f01, "abc"));
  t.equal(reply.body.readInt32LE(ioctlOut.result), 7);
  t.equal(reply.body.toString("latin1", ioctlOut.sizeof), "cba");
  t.equal(speaker.ask("IOCTL", ino, body(1, "")).error, ENOTTY);
});

t.test("what is not served gets ENOSYS, what is malformed EINVAL", async (t) => {
  const speaker = new Speaker();
  for (const number of [0, 7, 34, 37, 40, 48, 49, 52, 53, 99, 4096, 1_048_576, 0xffff_ffff]) {
    const bytes = requestBytes(number, 12, 1, [Buffer.alloc(200)]);
    speaker.protocol.handle(bytes, bytes.length);
    t.equal(speaker.replies.at(-1)?.error, ENOSYS, `opcode ${number}`);
  }
  t.equal(speaker.ask("WRITE", 1, [u64(0)]).error, EINVAL, "too short");
  t.equal(speaker.ask("LOOKUP", 1, [Buffer.from("no end")]).error, EINVAL);
  t.equal(speaker.ask("LOOKUP", 1, [text("")]).error, EINVAL);
  t.equal(speaker.ask("RENAME", 1, [u64(1), text("one name")]).error, EINVAL);
  const wrong = requestBytes(opcode.GETATTR, 14, 1, [Buffer.alloc(16)]);
  wrong.writeUInt32LE(41, 0);
  speaker.protocol.handle(wrong, wrong.length);
  t.equal(speaker.replies.at(-1)?.error, EINVAL, "wrong length in the header");
});

t.test("inodes are forgotten when the kernel has taken back every look-up", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "");
  const other = speaker.operations.put("g", "");
  for (let count = 0; count < 3; count += 1) speaker.lookup("f");
  speaker.lookup("g");
  const before = speaker.replies.length;
  speaker.send("FORGET", ino, [u64(2)]);
  t.same(speaker.operations.forgotten, []);
  t.ok(speaker.protocol.session.knows(ino));
  speaker.send("BATCH_FORGET", 0, [u32(2), u32(0), u64(ino), u64(1), u64(other), u64(1)]);
  t.same(speaker.operations.forgotten, [ino, other]);
  t.notOk(speaker.protocol.session.knows(ino));
  speaker.send("FORGET", ino, [u64(1)]);
  speaker.send("BATCH_FORGET", 0, [u32(0xffff_ffff), u32(0), u64(ino), u64(1)]);
  t.same(speaker.operations.forgotten, [ino, other], "not twice");
  t.equal(speaker.replies.length, before, "nothing is answered");
});

t.test("what a lost reply granted is taken back", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "");
  speaker.loseNext = true;
  speaker.send("LOOKUP", 1, [text("f")]);
  t.same(speaker.operations.forgotten, [ino]);
  speaker.lookup("f");
  speaker.loseNext = true;
  speaker.send("OPEN", ino, [u32(O_RDWR), u32(0)]);
  t.equal(speaker.operations.openHandles.size, 0);
  speaker.loseNext = true;
  speaker.send("OPENDIR", 1, [u32(0), u32(0)]);
  t.equal(speaker.operations.openDirectories.size, 0);
  t.same(speaker.operations.forgotten, [ino]);
});

t.test("the end of the connection takes everything back once", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "abc");
  speaker.lookup("f");
  const handle = speaker.open(ino, O_RDWR);
  speaker.ask("OPENDIR", 1, [u32(0), u32(0)]);
  speaker.ask("SETLK", ino, locking(1, F_WRLCK, 0, offsetMax));
  speaker.send("SETLKW", ino, locking(2, F_WRLCK, 0, offsetMax));
  speaker.operations.slowInode = ino;
  speaker.send("READ", ino, reading(handle, 0, 3));
  const before = speaker.replies.length;
  speaker.protocol.end();
  speaker.protocol.end();
  speaker.operations.finishReads();
  await tick();
  t.equal(speaker.operations.openHandles.size, 0);
  t.equal(speaker.operations.openDirectories.size, 0);
  t.same(speaker.operations.forgotten, [ino]);
  t.equal(speaker.protocol.waitingCount, 0);
  t.equal(speaker.replies.length, before, "nothing is answered any more");
  t.same(speaker.fatal, []);
});

t.test(
  "a write that went elsewhere invalidates from the lower offset, after its reply",
  async (t) => {
    const speaker = new Speaker();
    const ino = speaker.operations.put("f", "0123456789");
    speaker.lookup("f");
    const handle = speaker.open(ino, O_RDWR);
    speaker.ask("WRITE", ino, writing(handle, 4, "x"));
    t.same(speaker.invalidated, []);
    speaker.ask("WRITE", ino, writing(handle, 4, "x", O_RDWR | O_APPEND));
    t.same(speaker.invalidated, [{ ino, offset: 4, repliesBefore: speaker.replies.length }]);
  },
);

t.test("a direct write drops the pages of other opens before its reply", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "0123456789");
  speaker.lookup("f");
  const appending = speaker.open(ino, O_RDWR | O_APPEND);
  speaker.ask("WRITE", ino, writing(appending, 10, "x", O_RDWR | O_APPEND));
  t.same(speaker.invalidated, [], "nobody else has it open");
  speaker.open(ino, O_RDWR);
  const before = speaker.replies.length;
  const reply = await speaker.askSoon("WRITE", ino, writing(appending, 11, "x", O_APPEND));
  t.equal(reply.error, 0);
  t.same(speaker.invalidated, [{ ino, offset: 11, repliesBefore: before }]);
});

t.test(
  "a file that was not read since its last change is asked for when it is opened",
  async (t) => {
    const speaker = new Speaker();
    const ino = speaker.operations.put("f", "0123456789");
    speaker.lookup("f");
    speaker.open(ino, O_RDWR);
    t.same(speaker.invalidated, [], "it was read: its access time stays");
    const { mtime } = speaker.operations.nodes.get(ino)!;
    speaker.operations.setAttributes(ino, { atime: mtime });
    for (const flags of [O_WRONLY, O_RDWR | O_APPEND, O_NOATIME]) {
      speaker.ask("OPEN", ino, [u32(flags), u32(0)]);
    }
    t.same(speaker.invalidated, [], "no reading from the kernel's cache that sets an access time");
    const before = speaker.replies.length;
    const reply = await speaker.askSoon("OPEN", ino, [u32(O_RDWR), u32(0)]);
    t.equal(reply.error, 0);
    t.same(speaker.invalidated, [{ ino, offset: 9, repliesBefore: before }], "the last page goes");
  },
);

t.test("a size is not told before the invalidation that belongs to it is done", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "0123");
  speaker.lookup("f");
  const handle = handleOf(speaker.ask("OPENDIR", 1, [u32(0), u32(0)]));
  const asked = [
    ["GETATTR", ino, [Buffer.alloc(16)], attrOut.attr],
    ["LOOKUP", 1, [text("f")], entryOut.attr],
    ["LINK", 1, [u64(ino), text("g")], entryOut.attr],
  ] as const;
  for (const [name, node, body, at] of asked) {
    const settle = speaker.unsettle(ino);
    const before = speaker.replies.length;
    speaker.send(name, node, body);
    await tick();
    t.equal(speaker.replies.length, before, `${name} waits`);
    settle();
    await tick();
    const reply = speaker.replies[before];
    t.equal(reply?.error, 0);
    t.equal(reply === undefined ? 0 : sizeOf(reply, at), 4);
  }
  const settle = speaker.unsettle(ino);
  const listed = await speaker.askSoon("READDIRPLUS", 1, reading(handle, 2, 4000));
  t.equal(nodeOf(listed), 0, "READDIRPLUS lists it without attributes");
  settle();
  t.equal(nodeOf(await speaker.askSoon("READDIRPLUS", 1, reading(handle, 2, 4000))), ino);
});

t.test("LINK tells the size of when the invalidations are done", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "0123");
  const settle = speaker.unsettle(ino);
  const before = speaker.replies.length;
  speaker.send("LINK", 1, [u64(ino), text("g")]);
  const node = speaker.operations.nodes.get(ino);
  if (node !== undefined) node.data = Buffer.from("delivered while it waits");
  settle();
  await tick();
  const reply = speaker.replies[before];
  t.equal(reply === undefined ? 0 : sizeOf(reply, entryOut.attr), node?.data.length);
});

t.test("the kernel asks again for attributes that a change could have overtaken", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "0123");
  const validSec = (name: "GETATTR" | "SETATTR" | "LOOKUP" | "LINK", body: Buffer[], at: number) =>
    speaker.ask(name, name.endsWith("ATTR") ? ino : 1, body).body.readUInt32LE(at);
  t.ok(validSec("GETATTR", [Buffer.alloc(16)], attrOut.attr_valid) > 0);
  t.ok(validSec("LOOKUP", [text("f")], entryOut.attr_valid) > 0);
  t.equal(validSec("SETATTR", [Buffer.alloc(setattrIn.sizeof)], attrOut.attr_valid), 0);
  t.equal(validSec("LINK", [u64(ino), text("g")], entryOut.attr_valid), 0);
});

t.test("a dotlock is made when every invalidation is done", async (t) => {
  const speaker = new Speaker();
  const settle = speaker.unsettle(speaker.operations.put("f", ""));
  const before = speaker.replies.length;
  const made = [u32(O_RDWR), u32(0o600), u32(0), u32(0)];
  t.equal(speaker.ask("CREATE", 1, [...made, text("other")]).error, 0);
  speaker.send("CREATE", 1, [...made, text("f.lock")]);
  await tick();
  t.equal(speaker.replies.length, before + 1);
  settle();
  await tick();
  t.equal(speaker.replies.at(-1)?.error, 0);
  const settleLate = speaker.unsettle(17);
  speaker.send("CREATE", 1, [...made, text("g.lock")]);
  speaker.protocol.end();
  settleLate();
  await tick();
  t.equal(speaker.operations.openHandles.size, 0, "what waited beyond the end is given back");
});

t.test("a write by an ordinary user clears set-user-id and set-group-id", async (t) => {
  const speaker = new Speaker();
  const ino = speaker.operations.put("f", "");
  speaker.lookup("f");
  const handle = speaker.open(ino, O_RDWR);
  speaker.operations.node(ino).mode = S_IFREG | 0o6755;
  speaker.ask("WRITE", ino, writing(handle, 0, "x"));
  t.equal(speaker.operations.node(ino).mode, S_IFREG | 0o6755, "the kernel did not ask for it");
  speaker.ask("WRITE", ino, writing(handle, 0, "x", O_RDWR, FUSE_WRITE_KILL_SUIDGID));
  t.equal(speaker.operations.node(ino).mode, S_IFREG | 0o755);
  t.same(
    speaker.invalidated.map(({ offset }) => offset),
    [-1],
  );
  speaker.operations.node(ino).mode = S_IFREG | 0o2644;
  speaker.ask("WRITE", ino, writing(handle, 0, "x", O_RDWR, FUSE_WRITE_KILL_SUIDGID));
  t.equal(speaker.operations.node(ino).mode, S_IFREG | 0o2644, "the group may not execute");
  speaker.operations.node(ino).mode = S_IFREG | 0o4755;
  const chown = Buffer.alloc(88);
  chown.writeUInt32LE(attrFlag.UID | attrFlag.KILL_SUIDGID);
  chown.writeUInt32LE(77, 76);
  const changed = speaker.ask("SETATTR", ino, [chown]);
  t.equal(changed.body.readUInt32LE(attrOut.attr + attr.mode), S_IFREG | 0o755);
  t.equal(changed.body.readUInt32LE(attrOut.attr + attr.uid), 77);
});

t.test(
  "storage errors are answered, broken invariants are answered and end the process",
  async (t) => {
    const speaker = new Speaker();
    speaker.operations.failure = new StoreError("STORE_FULL", "full");
    t.equal(speaker.ask("MKDIR", 1, [u32(0o755), u32(0), text("d")]).error, ENOSPC);
    speaker.operations.failure = new StoreError("STORE_IO", "broken disk");
    t.equal((await speaker.askSoon("FSYNC", 1, [u64(1), u64(0)])).error, EIO);
    t.same(speaker.fatal, []);
    speaker.operations.failure = new InvariantError("broken");
    t.equal(speaker.ask("LOOKUP", 1, [text("x")]).error, EIO);
    t.equal(speaker.fatal.length, 1);
  },
);

/** Bodies that come near to what handlers expect: numbers of all sizes, names, zeros. */
const piece = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc.integer({ min: 0, max: 40 }).map((value) => u64(value)),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => u64(value)),
  fc.constantFrom("file0", "file1", "d", ".", "x".repeat(300)).map((name) => text(name)),
  fc.constant(Buffer.alloc(64)),
);
const garbage = fc.record({
  number: fc.oneof(fc.integer({ min: 0, max: 55 }), fc.integer({ min: 0, max: 0xffff_ffff })),
  node: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.maxSafeNat()),
  pieces: fc.array(piece, { maxLength: 8 }),
  cut: fc.integer({ min: 0, max: 60 }),
  extension: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })),
});

const unanswered: readonly number[] = [
  opcode.FORGET,
  opcode.BATCH_FORGET,
  opcode.INTERRUPT,
  opcode.NOTIFY_REPLY,
];

t.test("whatever the kernel sends gets exactly one reply, and nothing is thrown", async (t) => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${seed}; repeat with SEED=${seed} node dist/test/kernel-protocol.test.js`);
  const property = fc.asyncProperty(fc.array(garbage, { maxLength: 60 }), async (requests) => {
    const speaker = new Speaker();
    for (let index = 0; index < 3; index += 1) speaker.operations.put(`file${index}`, "content");
    const expected = new Set<bigint>();
    let unique = 1000;
    for (const { number, node, pieces, cut, extension } of requests) {
      unique += 2;
      const body = pieces.map((bytes) => Buffer.from(bytes));
      const bytes = requestBytes(number, unique, node, body);
      bytes.writeUInt16LE(extension, 36);
      if (cut < 20) bytes.writeUInt32LE(Math.max(0, bytes.length - cut), 0);
      const length = cut < 30 ? Math.max(0, bytes.length - cut) : bytes.length;
      if (length >= 40 && !unanswered.includes(number)) expected.add(BigInt(unique));
      speaker.protocol.handle(bytes, length);
    }
    await tick();
    if (speaker.fatal.length > 0) throw speaker.fatal[0];
    for (const reply of speaker.replies.slice(1)) {
      if (!expected.delete(reply.unique)) throw new Error(`${reply.unique} is answered twice`);
    }
    if (expected.size !== speaker.protocol.waitingCount) throw new Error("not all are answered");
    speaker.protocol.end();
    if (speaker.operations.openHandles.size > 0) throw new Error("open files are left");
  });
  const runs = 500;
  await fc.assert(property, { seed, numRuns: runs });
  t.pass(`${runs} runs`);
});
