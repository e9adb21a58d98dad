/*
 * Make empty mailboxes u000000, u000001, ... in a directory, then syncfs.
 *
 * make_mailboxes DIRECTORY COUNT
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include "load.h"

int main(int argc, char **argv)
{
	int directory_fd;
	double began = now_seconds();
	uint32_t count;

	if (argc != 3) {
		fprintf(stderr, "make_mailboxes DIRECTORY COUNT\n");
		return 2;
	}
	directory_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		die(argv[1]);
	count = (uint32_t)atoi(argv[2]);
	for (uint32_t i = 0; i < count; i++) {
		char name[PATH_LENGTH];
		int fd;

		mailbox_name(name, i);
		fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			die(name);
		close(fd);
	}
	/* A FUSE file system may know no syncfs; the durable state is asked for by fsync of the
	 * directory as well. */
	if (fsync(directory_fd))
		die("fsync of the directory");
	syncfs(directory_fd);
	printf("{\"files\":%" PRIu32 ",\"seconds\":%.3f,\"filesPerSecond\":%.1f}\n", count,
	       now_seconds() - began, count / (now_seconds() - began));
	return 0;
}
