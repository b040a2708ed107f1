/* A runtime that computes nothing, and a clock that its model scripts: what the measuring loop makes of it is
 * exact. The model is a text of nanoseconds: of loading, then of each run; the last is repeated. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine.h"
#include "support.h"

const char *const engine_name = "scripted";

static long long now = 1000000000;
static FILE *script;
static long long step;

/* In place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *time) {
    (void)clock;
    time->tv_sec = now / 1000000000;
    time->tv_nsec = now % 1000000000;
    return 0;
}

static void advance(void) {
    long long next;
    if (fscanf(script, "%lld", &next) == 1) step = next;
    now += step;
}

void engine_start(const char *library) { (void)library; }

void engine_open(const char *model, int threads) {
    (void)threads;
    script = fopen(model, "r");
    if (!script) fail("%s cannot be opened", model);
    advance();
}

void engine_set_input(const void *data, size_t bytes) { (void)data, (void)bytes; }

void engine_run(void) { advance(); }

/* Outside of every sample, so nothing of it may be seen. */
void engine_after_run(void) { now += 123456789; }

const void *engine_output(size_t *bytes) {
    *bytes = 1;
    return "";
}
