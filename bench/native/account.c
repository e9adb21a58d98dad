/*
 * Run a command and say at its end what the kernel has counted for it: the bytes that it caused to be
 * written to storage, its processor time and its greatest resident size. /proc/PID/io would lose
 * what a process writes in its last moment.
 *
 * account REPORT COMMAND ARGUMENT...
 *
 * Signals that end a command are passed on.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include "load.h"

static pid_t child;

static void pass_on(int signal_number)
{
	kill(child, signal_number);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	int status;
	FILE *report;

	if (argc < 3) {
		fprintf(stderr, "account REPORT COMMAND ARGUMENT...\n");
		return 2;
	}
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[2], argv + 2);
		die(argv[2]);
	}
	signal(SIGTERM, pass_on);
	signal(SIGINT, pass_on);
	while (wait4(child, &status, 0, &usage) < 0)
		if (errno != EINTR)
			die("wait4");
	report = fopen(argv[1], "w");
	if (!report)
		die(argv[1]);
	/* getrusage(2) counts blocks of 512 bytes. */
	fprintf(report,
		"{\"writtenBytes\":%" PRIu64 ",\"userSeconds\":%.3f,\"systemSeconds\":%.3f,"
		"\"residentBytesMax\":%" PRIu64 "}\n",
		(uint64_t)usage.ru_oublock * 512,
		(double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
		(double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6,
		(uint64_t)usage.ru_maxrss * 1024);
	fclose(report);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
