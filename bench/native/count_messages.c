/*
 * Count the messages of the mbox files DIRECTORY/user1 to DIRECTORY/userCOUNT: lines that begin with "From ". A file
 * that is not there has none.
 *
 * count_messages DIRECTORY COUNT
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include "load.h"

#define BUFFER_BYTES (1u << 20)

static const char from[] = "From ";

static uint64_t count_file(int fd, char *buffer)
{
	uint64_t found = 0;
	size_t matched = 0; /* characters of "From ", from the beginning of the line on */
	int could_match = 1;
	ssize_t length;

	while ((length = read(fd, buffer, BUFFER_BYTES)) > 0) {
		for (char *at = buffer, *end = buffer + length; at < end;) {
			if (!could_match) {
				at = memchr(at, '\n', (size_t)(end - at));
				if (!at)
					break;
				at++;
				could_match = 1;
				matched = 0;
			} else if (*at == from[matched]) {
				at++;
				if (++matched == sizeof(from) - 1) {
					found++;
					could_match = 0;
				}
			} else {
				could_match = 0; /* this character may be the line's end itself */
			}
		}
	}
	if (length < 0)
		die("read");
	return found;
}

int main(int argc, char **argv)
{
	char *buffer = allocate(BUFFER_BYTES);
	int directory;

	if (argc != 3) {
		fprintf(stderr, "count_messages DIRECTORY COUNT\n");
		return 2;
	}
	directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		die(argv[1]);
	printf("{\"messages\":[");
	for (int i = 1; i <= atoi(argv[2]); i++) {
		char name[32];
		int fd;
		uint64_t count = 0;

		snprintf(name, sizeof(name), "user%d", i);
		/* Looking must not make the file system write access times. */
		fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOATIME);
		if (fd < 0 && errno == EPERM)
			fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			count = count_file(fd, buffer);
			close(fd);
		} else if (errno != ENOENT) {
			die(name);
		}
		printf("%s%" PRIu64, i > 1 ? "," : "", count);
	}
	printf("]}\n");
	return 0;
}
