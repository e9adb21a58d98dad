/*
 * Go through all mailboxes of a directory, each once, shared out among some processes.
 *
 * visit lookup|read|all DIRECTORY PROCESSES MAILBOXES
 *
 * lookup  stat
 * read    open, read 4 KiB, close
 * all     stat, open, read to the end, append some bytes, close
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include "load.h"

static const char *directory, *mode;
static uint32_t processes, mailboxes;

static void visit(int directory_fd, const char *name, char *buffer, size_t length, int all)
{
	int fd = openat(directory_fd, name, (all ? O_RDWR | O_APPEND : O_RDONLY) | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		die(name);
	do {
		got = read(fd, buffer, length);
		if (got < 0)
			die("read");
	} while (all && got > 0);
	if (all && write(fd, "one line\n", 9) != 9)
		die("write");
	if (close(fd))
		die("close");
}

static void work(struct load *load)
{
	int all = strcmp(mode, "all") == 0;
	size_t length = all ? 1 << 20 : 4096;
	char *buffer = allocate(length);
	int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory_fd < 0)
		die(directory);
	wait_for_start(load);
	for (uint32_t i = (uint32_t)load->index; i < mailboxes; i += processes) {
		struct stat status;
		char name[PATH_LENGTH];

		mailbox_name(name, i);
		if (strcmp(mode, "read") != 0 && fstatat(directory_fd, name, &status, 0))
			die(name);
		if (strcmp(mode, "lookup") != 0)
			visit(directory_fd, name, buffer, length, all);
		load->result->messages++;
	}
	load->result->seconds = now_seconds() - load->started;
	load->result->deliveries = load->result->messages;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "visit lookup|read|all DIRECTORY PROCESSES MAILBOXES\n");
		return 2;
	}
	mode = argv[1];
	directory = argv[2];
	processes = (uint32_t)atoi(argv[3]);
	mailboxes = (uint32_t)atoi(argv[4]);
	return run_load((int)processes, 0, 1, work);
}
