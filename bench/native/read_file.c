/*
 * Read a file from its beginning to its end with read(2), some passes.
 *
 * read_file cold|warm FILE BUFFER_BYTES PASSES
 *
 * cold  drops the file's pages from the kernel's cache before each pass
 * warm  reads it once before the clock starts
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include "load.h"

static uint64_t read_all(int fd, char *buffer, size_t length)
{
	uint64_t total = 0;
	ssize_t got;

	if (lseek(fd, 0, SEEK_SET) != 0)
		die("lseek");
	while ((got = read(fd, buffer, length)) > 0)
		total += (uint64_t)got;
	if (got < 0)
		die("read");
	return total;
}

int main(int argc, char **argv)
{
	double seconds = 0;
	uint64_t bytes = 0;
	size_t length;
	char *buffer;
	int cold, fd;

	if (argc != 5) {
		fprintf(stderr, "read_file cold|warm FILE BUFFER_BYTES PASSES\n");
		return 2;
	}
	cold = strcmp(argv[1], "cold") == 0;
	length = (size_t)atol(argv[3]);
	buffer = allocate(length);
	memset(buffer, 1, length);
	fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(argv[2]);
	if (!cold)
		read_all(fd, buffer, length);
	for (int pass = 0; pass < atoi(argv[4]); pass++) {
		double began;

		if (cold) {
			int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);

			if (error) {
				errno = error;
				die("posix_fadvise");
			}
		}
		began = now_seconds();
		bytes += read_all(fd, buffer, length);
		seconds += now_seconds() - began;
	}
	printf("{\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"bytesPerSecond\":%.1f}\n", bytes, seconds,
	       (double)bytes / seconds);
	return 0;
}
