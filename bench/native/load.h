/*
 * What the load generators share: several processes that prepare their work, start together and
 * report one line of JSON.
 *
 * The clock starts when all of them are ready, so that the cost of preparing a request is paid by
 * neither side of a comparison. Each process works until the time is up and finishes what it has
 * begun; the rate is the sum of each one's work over its own time, so that no work in flight is lost
 * at the end of the measurement.
 */
#ifndef ONESPOOL_BENCH_LOAD_H
#define ONESPOOL_BENCH_LOAD_H

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 64
#define PATH_LENGTH 16

struct result {
	uint64_t messages;
	uint64_t deliveries;
	uint64_t latency_ns_max;
	double seconds;
	int failed;
};

struct load {
	int index;      /* which of the processes this is */
	double seconds; /* how long it shall work */
	uint64_t seed;
	struct result *result;
	int ready_fd;
	int go_fd;
	double started;
};

static inline double now_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

/* Steele, Lea, Flood: SplitMix64. The same seed draws the same recipients on both sides. */
static inline uint64_t draw(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/*
 * Recipients of one message, each at most once. `stamps` has one word for each mailbox and is
 * zeroed once; `stamp` is different for each message.
 */
static inline void draw_recipients(uint64_t *state, uint32_t *stamps, uint32_t stamp,
				   uint32_t mailboxes, uint32_t *to, uint32_t count)
{
	for (uint32_t i = 0; i < count;) {
		uint32_t candidate = (uint32_t)(draw(state) % mailboxes);

		if (stamps[candidate] == stamp)
			continue;
		stamps[candidate] = stamp;
		to[i++] = candidate;
	}
}

static inline void mailbox_name(char *name, uint32_t index)
{
	snprintf(name, PATH_LENGTH, "u%06" PRIu32, index);
}

static inline void *allocate(size_t bytes)
{
	void *memory = calloc(1, bytes ? bytes : 1);

	if (!memory)
		die("calloc");
	return memory;
}

/* Called by a worker when its work is prepared; returns when all of them are. */
static inline void wait_for_start(struct load *load)
{
	char byte = 'r';

	if (write(load->ready_fd, &byte, 1) != 1)
		die("ready");
	/* When every copy of this end is closed the starter knows that nobody else will be ready. */
	close(load->ready_fd);
	if (read(load->go_fd, &byte, 1) < 0)
		die("go");
	load->started = now_seconds();
}

static inline int time_is_up(const struct load *load)
{
	return now_seconds() - load->started >= load->seconds;
}

static inline int run_load(int processes, double seconds, uint64_t seed,
			   void (*work)(struct load *))
{
	struct result *results;
	struct result total = {0};
	int ready[2], go[2];
	double rate = 0, delivery_rate = 0;
	char byte;

	if (processes < 1 || processes > PROCESSES_MAX) {
		fprintf(stderr, "1 to %d processes\n", PROCESSES_MAX);
		return 2;
	}
	results = mmap(NULL, sizeof(*results) * PROCESSES_MAX, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED || pipe(ready) || pipe(go))
		die("run_load");
	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			struct load load = {
				.index = i,
				.seconds = seconds,
				.seed = seed + (uint64_t)i * 1000003,
				.result = &results[i],
				.ready_fd = ready[1],
				.go_fd = go[0],
			};

			close(go[1]);
			close(ready[0]);
			results[i].failed = 1;
			work(&load);
			results[i].failed = 0;
			_exit(0);
		}
	}
	close(ready[1]);
	for (int i = 0; i < processes; i++) {
		if (read(ready[0], &byte, 1) != 1)
			break; /* a worker died; its exit status says so below */
	}
	close(go[1]);
	for (int i = 0; i < processes; i++)
		wait(NULL);
	for (int i = 0; i < processes; i++) {
		total.failed |= results[i].failed;
		total.messages += results[i].messages;
		total.deliveries += results[i].deliveries;
		if (results[i].latency_ns_max > total.latency_ns_max)
			total.latency_ns_max = results[i].latency_ns_max;
		if (results[i].seconds > total.seconds)
			total.seconds = results[i].seconds;
		if (results[i].seconds > 0) {
			rate += (double)results[i].messages / results[i].seconds;
			delivery_rate += (double)results[i].deliveries / results[i].seconds;
		}
	}
	printf("{\"messages\":%" PRIu64 ",\"deliveries\":%" PRIu64 ",\"seconds\":%.3f,"
	       "\"messagesPerSecond\":%.3f,\"deliveriesPerSecond\":%.3f,\"latencyMsMax\":%.3f}\n",
	       total.messages, total.deliveries, total.seconds, rate, delivery_rate,
	       (double)total.latency_ns_max / 1e6);
	return total.failed ? 1 : 0;
}

#endif
