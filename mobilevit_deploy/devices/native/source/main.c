/* run LIBRARY MODEL THREADS CORES MODE ...: one runtime, one model, one process.
 *
 *   outputs IN OUT [IN OUT ...]   run each raw input once, and write the raw output
 *   time IN SAMPLES WINDOW SPEEDING_UP LEAST_MS MOST_MS MOST
 *                                 load, first inference, warm-up, and SAMPLES steady inferences
 *   memory IN                     load and a few inferences, without a clock
 *   count IN N                    N inferences, each between two marks for an instruction counter
 *
 * The last line of standard output is one JSON object; see mobilevit_deploy/devices/native/output.py. An error
 * is the last line of standard error, and a non-zero exit code. Runtimes may print what they like before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "engine.h"
#include "measure.h"
#include "memory.h"
#include "support.h"

#define MOST_THREADS 1024
#define MOST_INFERENCES 1000000

/* Enough for what a runtime allocates lazily on the first and second run. */
#define MEMORY_INFERENCES 3

/* An operation that prctl does not know: a kernel answers EINVAL at once, a counter sees it go by. */
#define MARK 0x4d424e43

struct task {
    const char *model;
    int threads;
    long long library_rss; /* bytes, with the library loaded and no model yet */
    int count;             /* of the mode's own arguments */
    char **arguments;
};

static void expect(const struct task *task, int count, const char *usage) {
    if (task->count != count) fail("expected: run LIBRARY MODEL THREADS CORES %s", usage);
}

static void begin_result(const char *mode) {
    printf("\n{\"runtime\":\"%s\",\"mode\":\"%s\",\"affinity\":\"%s\"", engine_name, mode, affinity());
}

static void end_result(void) {
    puts("}");
    if (fflush(stdout)) fail("the result cannot be printed");
}

static void print_durations(const char *name, const double *ms, size_t count) {
    printf(",\"%s\":[", name);
    for (size_t index = 0; index < count; index++) printf("%s%.6f", index ? "," : "", ms[index]);
    putchar(']');
}

static void print_bytes(const char *name, long long bytes) {
    if (bytes < 0)
        printf(",\"%s\":null", name);
    else
        printf(",\"%s\":%lld", name, bytes);
}

static void outputs(const struct task *task) {
    if (!task->count || task->count % 2) fail("expected: run ... outputs IN OUT [IN OUT ...]");
    size_t written = 0;
    engine_open(task->model, task->threads);
    for (int index = 0; index < task->count; index += 2) {
        size_t bytes;
        void *input = read_file(task->arguments[index], &bytes);
        engine_set_input(input, bytes);
        engine_run();
        const void *output = engine_output(&written);
        write_file(task->arguments[index + 1], output, written);
        engine_after_run();
        free(input);
    }
    begin_result("outputs");
    printf(",\"output_bytes\":%zu", written);
    end_result();
}

static void timed(const struct task *task) {
    expect(task, 7, "time IN SAMPLES WINDOW SPEEDING_UP LEAST_MS MOST_MS MOST");
    char **argument = task->arguments;
    size_t bytes;
    void *input = read_file(argument[0], &bytes);
    size_t samples = (size_t)whole_number(argument[1], "SAMPLES", 1, MOST_INFERENCES);
    struct warmup_rule rule = {
        .window = (size_t)whole_number(argument[2], "WINDOW", 1, MOST_INFERENCES),
        .speeding_up = positive_number(argument[3], "SPEEDING_UP"),
        .least_ms = positive_number(argument[4], "LEAST_MS"),
        .most_ms = positive_number(argument[5], "MOST_MS"),
        .most = (size_t)whole_number(argument[6], "MOST", 1, MOST_INFERENCES),
    };
    struct timing taken = measure(task->model, task->threads, input, bytes, &rule, samples);
    begin_result("time");
    printf(",\"load_ms\":%.6f,\"first_ms\":%.6f", taken.load_ms, taken.first_ms);
    print_durations("warmup_ms", taken.warmup_ms, taken.warmup_count);
    print_durations("samples_ms", taken.samples_ms, taken.samples_count);
    end_result();
}

static void memory(const struct task *task) {
    expect(task, 1, "memory IN");
    size_t bytes;
    void *input = read_file(task->arguments[0], &bytes);
    engine_open(task->model, task->threads);
    engine_set_input(input, bytes);
    for (int run = 0; run < MEMORY_INFERENCES; run++) {
        engine_run();
        engine_after_run();
    }
    begin_result("memory");
    print_bytes("library_rss_bytes", task->library_rss);
    print_bytes("peak_rss_bytes", memory_bytes("/proc/self/status", "VmHWM"));
    print_bytes("pss_bytes", memory_bytes("/proc/self/smaps_rollup", "Pss"));
    end_result();
}

static void count(const struct task *task) {
    expect(task, 2, "count IN N");
    size_t bytes;
    void *input = read_file(task->arguments[0], &bytes);
    int inferences = (int)whole_number(task->arguments[1], "N", 1, MOST_INFERENCES);
    engine_open(task->model, task->threads);
    engine_set_input(input, bytes);
    for (int run = 0; run < inferences; run++) {
        prctl(MARK, 2 * run, 0, 0, 0);
        engine_run();
        prctl(MARK, 2 * run + 1, 0, 0, 0);
        engine_after_run();
    }
    begin_result("count");
    printf(",\"inferences\":%d", inferences);
    end_result();
}

int main(int argc, char **argv) {
    if (argc < 6) fail("expected: run LIBRARY MODEL THREADS CORES outputs|time|memory|count ...");
    const char *mode = argv[5];
    struct task task = {
        .model = argv[2],
        .threads = (int)whole_number(argv[3], "THREADS", 1, MOST_THREADS),
        .count = argc - 6,
        .arguments = argv + 6,
    };
    /* First of all: the runtime's threads inherit it. */
    set_affinity(argv[4]);
    explain_crashes();
    engine_start(argv[1]);
    task.library_rss = memory_bytes("/proc/self/status", "VmRSS");
    if (!strcmp(mode, "outputs"))
        outputs(&task);
    else if (!strcmp(mode, "time"))
        timed(&task);
    else if (!strcmp(mode, "memory"))
        memory(&task);
    else if (!strcmp(mode, "count"))
        count(&task);
    else
        fail("there is no mode '%s'; there are outputs, time, memory and count", mode);
    /* Not exit(): nothing that a runtime's destructors do is worth waiting for, or crashing in. */
    _Exit(0);
}
