/*
 * Prints the layouts and numbers of <linux/fuse.h> as lines "structure field value", for the comparison
 * with fs/kernel/abi.ts. The size of a structure has the field name "sizeof".
 */
#include <linux/fuse.h>
#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf("%s sizeof %zu\n", #type, sizeof(struct type))
#define FIELD(type, field) printf("%s %s %zu\n", #type, #field, offsetof(struct type, field))
#define NUMBER(group, prefix, name) \
  printf("%s %s %lld\n", group, #name, (long long)(prefix##name))
#define HIGH(group, prefix, name) \
  printf("%s %s %lld\n", group, #name, (long long)((unsigned long long)(prefix##name) >> 32))

static void headers(void) {
  SIZE(fuse_in_header);
  FIELD(fuse_in_header, len);
  FIELD(fuse_in_header, opcode);
  FIELD(fuse_in_header, unique);
  FIELD(fuse_in_header, nodeid);
  FIELD(fuse_in_header, uid);
  FIELD(fuse_in_header, gid);
  FIELD(fuse_in_header, pid);
#if FUSE_KERNEL_MINOR_VERSION >= 38
  FIELD(fuse_in_header, total_extlen);
#else
  printf("fuse_in_header total_extlen %zu\n", offsetof(struct fuse_in_header, padding));
#endif
  SIZE(fuse_out_header);
  FIELD(fuse_out_header, len);
  FIELD(fuse_out_header, error);
  FIELD(fuse_out_header, unique);
}

static void replies(void) {
  SIZE(fuse_attr);
  FIELD(fuse_attr, ino);
  FIELD(fuse_attr, size);
  FIELD(fuse_attr, blocks);
  FIELD(fuse_attr, atime);
  FIELD(fuse_attr, mtime);
  FIELD(fuse_attr, ctime);
  FIELD(fuse_attr, atimensec);
  FIELD(fuse_attr, mtimensec);
  FIELD(fuse_attr, ctimensec);
  FIELD(fuse_attr, mode);
  FIELD(fuse_attr, nlink);
  FIELD(fuse_attr, uid);
  FIELD(fuse_attr, gid);
  FIELD(fuse_attr, rdev);
  FIELD(fuse_attr, blksize);
#if FUSE_KERNEL_MINOR_VERSION >= 32
  FIELD(fuse_attr, flags);
#else
  printf("fuse_attr flags %zu\n", offsetof(struct fuse_attr, padding));
#endif
  SIZE(fuse_entry_out);
  FIELD(fuse_entry_out, nodeid);
  FIELD(fuse_entry_out, generation);
  FIELD(fuse_entry_out, entry_valid);
  FIELD(fuse_entry_out, attr_valid);
  FIELD(fuse_entry_out, entry_valid_nsec);
  FIELD(fuse_entry_out, attr_valid_nsec);
  FIELD(fuse_entry_out, attr);
  SIZE(fuse_attr_out);
  FIELD(fuse_attr_out, attr_valid);
  FIELD(fuse_attr_out, attr_valid_nsec);
  FIELD(fuse_attr_out, attr);
  SIZE(fuse_open_out);
  FIELD(fuse_open_out, fh);
  FIELD(fuse_open_out, open_flags);
  SIZE(fuse_write_out);
  FIELD(fuse_write_out, size);
  SIZE(fuse_lseek_out);
  FIELD(fuse_lseek_out, offset);
  SIZE(fuse_getxattr_out);
  FIELD(fuse_getxattr_out, size);
  SIZE(fuse_ioctl_out);
  FIELD(fuse_ioctl_out, result);
  FIELD(fuse_ioctl_out, flags);
  FIELD(fuse_ioctl_out, in_iovs);
  FIELD(fuse_ioctl_out, out_iovs);
  SIZE(fuse_file_lock);
  FIELD(fuse_file_lock, start);
  FIELD(fuse_file_lock, end);
  FIELD(fuse_file_lock, type);
  FIELD(fuse_file_lock, pid);
  printf("fuse_dirent sizeof %zu\n", offsetof(struct fuse_dirent, name));
  FIELD(fuse_dirent, ino);
  FIELD(fuse_dirent, off);
  FIELD(fuse_dirent, namelen);
  FIELD(fuse_dirent, type);
  SIZE(fuse_kstatfs);
  FIELD(fuse_kstatfs, blocks);
  FIELD(fuse_kstatfs, bfree);
  FIELD(fuse_kstatfs, bavail);
  FIELD(fuse_kstatfs, files);
  FIELD(fuse_kstatfs, ffree);
  FIELD(fuse_kstatfs, bsize);
  FIELD(fuse_kstatfs, namelen);
  FIELD(fuse_kstatfs, frsize);
  SIZE(fuse_init_out);
  FIELD(fuse_init_out, major);
  FIELD(fuse_init_out, minor);
  FIELD(fuse_init_out, max_readahead);
  FIELD(fuse_init_out, flags);
  FIELD(fuse_init_out, max_background);
  FIELD(fuse_init_out, congestion_threshold);
  FIELD(fuse_init_out, max_write);
  FIELD(fuse_init_out, time_gran);
  FIELD(fuse_init_out, max_pages);
#if FUSE_KERNEL_MINOR_VERSION >= 36
  FIELD(fuse_init_out, flags2);
#endif
  SIZE(fuse_notify_inval_inode_out);
  FIELD(fuse_notify_inval_inode_out, ino);
  FIELD(fuse_notify_inval_inode_out, off);
  FIELD(fuse_notify_inval_inode_out, len);
  SIZE(fuse_notify_store_out);
  FIELD(fuse_notify_store_out, nodeid);
  FIELD(fuse_notify_store_out, offset);
  FIELD(fuse_notify_store_out, size);
}

static void name_requests(void) {
  SIZE(fuse_forget_in);
  FIELD(fuse_forget_in, nlookup);
  SIZE(fuse_batch_forget_in);
  FIELD(fuse_batch_forget_in, count);
  SIZE(fuse_forget_one);
  FIELD(fuse_forget_one, nodeid);
  FIELD(fuse_forget_one, nlookup);
  SIZE(fuse_mknod_in);
  FIELD(fuse_mknod_in, mode);
  FIELD(fuse_mknod_in, rdev);
  FIELD(fuse_mknod_in, umask);
  SIZE(fuse_mkdir_in);
  FIELD(fuse_mkdir_in, mode);
  FIELD(fuse_mkdir_in, umask);
  SIZE(fuse_rename_in);
  FIELD(fuse_rename_in, newdir);
  SIZE(fuse_rename2_in);
  FIELD(fuse_rename2_in, newdir);
  FIELD(fuse_rename2_in, flags);
  SIZE(fuse_link_in);
  FIELD(fuse_link_in, oldnodeid);
  SIZE(fuse_create_in);
  FIELD(fuse_create_in, flags);
  FIELD(fuse_create_in, mode);
  FIELD(fuse_create_in, umask);
#if FUSE_KERNEL_MINOR_VERSION >= 33
  FIELD(fuse_create_in, open_flags);
#endif
}

static void attribute_requests(void) {
  SIZE(fuse_getattr_in);
  FIELD(fuse_getattr_in, getattr_flags);
  FIELD(fuse_getattr_in, fh);
  SIZE(fuse_setattr_in);
  FIELD(fuse_setattr_in, valid);
  FIELD(fuse_setattr_in, fh);
  FIELD(fuse_setattr_in, size);
  FIELD(fuse_setattr_in, lock_owner);
  FIELD(fuse_setattr_in, atime);
  FIELD(fuse_setattr_in, mtime);
  FIELD(fuse_setattr_in, ctime);
  FIELD(fuse_setattr_in, atimensec);
  FIELD(fuse_setattr_in, mtimensec);
  FIELD(fuse_setattr_in, ctimensec);
  FIELD(fuse_setattr_in, mode);
  FIELD(fuse_setattr_in, uid);
  FIELD(fuse_setattr_in, gid);
  SIZE(fuse_getxattr_in);
  FIELD(fuse_getxattr_in, size);
  /* Without FUSE_SETXATTR_EXT the structure ends here. */
  printf("fuse_setxattr_in sizeof %d\n", FUSE_COMPAT_SETXATTR_IN_SIZE);
  FIELD(fuse_setxattr_in, size);
  FIELD(fuse_setxattr_in, flags);
}

static void file_requests(void) {
  SIZE(fuse_open_in);
  FIELD(fuse_open_in, flags);
#if FUSE_KERNEL_MINOR_VERSION >= 33
  FIELD(fuse_open_in, open_flags);
#endif
  SIZE(fuse_release_in);
  FIELD(fuse_release_in, fh);
  FIELD(fuse_release_in, flags);
  FIELD(fuse_release_in, release_flags);
  FIELD(fuse_release_in, lock_owner);
  SIZE(fuse_flush_in);
  FIELD(fuse_flush_in, fh);
  FIELD(fuse_flush_in, lock_owner);
  SIZE(fuse_read_in);
  FIELD(fuse_read_in, fh);
  FIELD(fuse_read_in, offset);
  FIELD(fuse_read_in, size);
  FIELD(fuse_read_in, lock_owner);
  FIELD(fuse_read_in, flags);
  SIZE(fuse_write_in);
  FIELD(fuse_write_in, fh);
  FIELD(fuse_write_in, offset);
  FIELD(fuse_write_in, size);
  FIELD(fuse_write_in, write_flags);
  FIELD(fuse_write_in, lock_owner);
  FIELD(fuse_write_in, flags);
  SIZE(fuse_fsync_in);
  FIELD(fuse_fsync_in, fh);
  FIELD(fuse_fsync_in, fsync_flags);
  SIZE(fuse_lk_in);
  FIELD(fuse_lk_in, fh);
  FIELD(fuse_lk_in, owner);
  FIELD(fuse_lk_in, lk);
  FIELD(fuse_lk_in, lk_flags);
  SIZE(fuse_ioctl_in);
  FIELD(fuse_ioctl_in, fh);
  FIELD(fuse_ioctl_in, flags);
  FIELD(fuse_ioctl_in, cmd);
  FIELD(fuse_ioctl_in, arg);
  FIELD(fuse_ioctl_in, in_size);
  FIELD(fuse_ioctl_in, out_size);
  SIZE(fuse_fallocate_in);
  FIELD(fuse_fallocate_in, fh);
  FIELD(fuse_fallocate_in, offset);
  FIELD(fuse_fallocate_in, length);
  FIELD(fuse_fallocate_in, mode);
  SIZE(fuse_lseek_in);
  FIELD(fuse_lseek_in, fh);
  FIELD(fuse_lseek_in, offset);
  FIELD(fuse_lseek_in, whence);
  SIZE(fuse_copy_file_range_in);
  FIELD(fuse_copy_file_range_in, fh_in);
  FIELD(fuse_copy_file_range_in, off_in);
  FIELD(fuse_copy_file_range_in, nodeid_out);
  FIELD(fuse_copy_file_range_in, fh_out);
  FIELD(fuse_copy_file_range_in, off_out);
  FIELD(fuse_copy_file_range_in, len);
  FIELD(fuse_copy_file_range_in, flags);
}

static void connection_requests(void) {
  SIZE(fuse_init_in);
  FIELD(fuse_init_in, major);
  FIELD(fuse_init_in, minor);
  FIELD(fuse_init_in, max_readahead);
  FIELD(fuse_init_in, flags);
#if FUSE_KERNEL_MINOR_VERSION >= 36
  FIELD(fuse_init_in, flags2);
#endif
  SIZE(fuse_interrupt_in);
  FIELD(fuse_interrupt_in, unique);
#if FUSE_KERNEL_MINOR_VERSION >= 34
  SIZE(fuse_syncfs_in);
#endif
}

#define OPCODE(name) NUMBER("opcode", FUSE_, name)
#define INIT(name) NUMBER("initFlag", FUSE_, name)
#define OPEN(name) NUMBER("openFlag", FOPEN_, name)
#define ATTR(name) NUMBER("attrFlag", FATTR_, name)
#define PLAIN(name) printf("number %s %lld\n", #name, (long long)(name))

static void opcodes(void) {
  OPCODE(LOOKUP);
  OPCODE(FORGET);
  OPCODE(GETATTR);
  OPCODE(SETATTR);
  OPCODE(READLINK);
  OPCODE(SYMLINK);
  OPCODE(MKNOD);
  OPCODE(MKDIR);
  OPCODE(UNLINK);
  OPCODE(RMDIR);
  OPCODE(RENAME);
  OPCODE(LINK);
  OPCODE(OPEN);
  OPCODE(READ);
  OPCODE(WRITE);
  OPCODE(STATFS);
  OPCODE(RELEASE);
  OPCODE(FSYNC);
  OPCODE(SETXATTR);
  OPCODE(GETXATTR);
  OPCODE(LISTXATTR);
  OPCODE(REMOVEXATTR);
  OPCODE(FLUSH);
  OPCODE(INIT);
  OPCODE(OPENDIR);
  OPCODE(READDIR);
  OPCODE(RELEASEDIR);
  OPCODE(FSYNCDIR);
  OPCODE(GETLK);
  OPCODE(SETLK);
  OPCODE(SETLKW);
  OPCODE(ACCESS);
  OPCODE(CREATE);
  OPCODE(INTERRUPT);
  OPCODE(BMAP);
  OPCODE(DESTROY);
  OPCODE(IOCTL);
  OPCODE(POLL);
  OPCODE(NOTIFY_REPLY);
  OPCODE(BATCH_FORGET);
  OPCODE(FALLOCATE);
  OPCODE(READDIRPLUS);
  OPCODE(RENAME2);
  OPCODE(LSEEK);
  OPCODE(COPY_FILE_RANGE);
#if FUSE_KERNEL_MINOR_VERSION >= 34
  OPCODE(SYNCFS);
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 37
  OPCODE(TMPFILE);
#endif
#if FUSE_KERNEL_MINOR_VERSION >= 39
  OPCODE(STATX);
#endif
}

static void flags(void) {
  INIT(ASYNC_READ);
  INIT(POSIX_LOCKS);
  INIT(ATOMIC_O_TRUNC);
  INIT(EXPORT_SUPPORT);
  INIT(BIG_WRITES);
  INIT(FLOCK_LOCKS);
  INIT(HAS_IOCTL_DIR);
  INIT(DO_READDIRPLUS);
  INIT(READDIRPLUS_AUTO);
  INIT(ASYNC_DIO);
  INIT(PARALLEL_DIROPS);
  INIT(ABORT_ERROR);
  INIT(MAX_PAGES);
  INIT(CACHE_SYMLINKS);
  INIT(EXPLICIT_INVAL_DATA);
#ifdef FUSE_HANDLE_KILLPRIV_V2
  INIT(HANDLE_KILLPRIV_V2);
#endif
#ifdef FUSE_INIT_EXT
  INIT(INIT_EXT);
#endif
#ifdef FUSE_DIRECT_IO_ALLOW_MMAP
  HIGH("initFlag2", FUSE_, DIRECT_IO_ALLOW_MMAP);
#endif
#ifdef FUSE_HAS_RESEND
  HIGH("initFlag2", FUSE_, HAS_RESEND);
#endif
  OPEN(DIRECT_IO);
  OPEN(KEEP_CACHE);
  OPEN(NONSEEKABLE);
  OPEN(STREAM);
#if FUSE_KERNEL_MINOR_VERSION >= 35
  OPEN(NOFLUSH);
#endif
  ATTR(MODE);
  ATTR(UID);
  ATTR(GID);
  ATTR(SIZE);
  ATTR(ATIME);
  ATTR(MTIME);
  ATTR(ATIME_NOW);
  ATTR(MTIME_NOW);
  ATTR(CTIME);
#ifdef FATTR_KILL_SUIDGID
  ATTR(KILL_SUIDGID);
  PLAIN(FUSE_OPEN_KILL_SUIDGID);
  PLAIN(FUSE_WRITE_KILL_SUIDGID);
#endif
  PLAIN(FUSE_LK_FLOCK);
  PLAIN(FUSE_NOTIFY_INVAL_INODE);
  PLAIN(FUSE_NOTIFY_STORE);
}

int main(void) {
  printf("version minor %d\n", FUSE_KERNEL_MINOR_VERSION);
  headers();
  replies();
  name_requests();
  attribute_requests();
  file_requests();
  connection_requests();
  opcodes();
  flags();
  return 0;
}
