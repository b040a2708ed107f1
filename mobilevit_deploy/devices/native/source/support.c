#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_LINE 64
#define DIGITS (CPU_SETSIZE / 4)

void fail(const char *format, ...) {
    va_list arguments;
    fputs("run: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    /* Not exit(): a runtime that has just failed may hang or crash in its destructors. */
    fflush(stderr);
    _Exit(1);
}

static void crashed(int number) {
    /* Only what a signal handler may call; strsignal() is not among it. */
    static const char line[] = "run: the runtime crashed; the model may be damaged (signal   )\n";
    char text[sizeof line];
    memcpy(text, line, sizeof line);
    text[sizeof line - 5] = (char)('0' + number / 10);
    text[sizeof line - 4] = (char)('0' + number % 10);
    _exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 2 : 1);
}

void explain_crashes(void) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    static char stack[1 << 16]; /* of its own: the crash may be an overflow of the other */
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternate, NULL);
    for (size_t index = 0; index < sizeof signals / sizeof *signals; index++)
        sigaction(signals[index], &action, NULL);
}

long whole_number(const char *text, const char *what, long least, long most) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most)
        fail("%s must be a whole number from %ld to %ld, not '%s'", what, least, most, text);
    return value;
}

double positive_number(const char *text, const char *what) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value <= 0)
        fail("%s must be a number above zero, not '%s'", what, text);
    return value;
}

static FILE *open_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat found;
    if (!file) fail("%s cannot be opened: %s", path, strerror(errno));
    if (fstat(fileno(file), &found) || !S_ISREG(found.st_mode)) fail("%s is not a file", path);
    return file;
}

void *read_file(const char *path, size_t *bytes) {
    FILE *file = open_file(path);
    struct stat found;
    void *data = NULL;
    if (fstat(fileno(file), &found)) fail("%s cannot be read: %s", path, strerror(errno));
    *bytes = (size_t)found.st_size;
    if (posix_memalign(&data, CACHE_LINE, *bytes + CACHE_LINE)) fail("no memory for %s", path);
    if (fread(data, 1, *bytes, file) != *bytes) fail("%s cannot be read to its end", path);
    fclose(file);
    return data;
}

void write_file(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    if (!file) fail("%s cannot be written: %s", path, strerror(errno));
    int written = fwrite(data, 1, bytes, file) == bytes;
    if (fclose(file) || !written) fail("%s cannot be written: %s", path, strerror(errno));
}

void warm_file(const char *path) {
    char chunk[1 << 14];
    FILE *file = open_file(path);
    while (fread(chunk, 1, sizeof chunk, file) > 0) continue;
    if (ferror(file)) fail("%s cannot be read to its end", path);
    fclose(file);
}

static int digit_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

void set_affinity(const char *mask) {
    cpu_set_t cores;
    size_t digits = strlen(mask);
    if (!strcmp(mask, "-")) return;
    if (!digits || digits > DIGITS) fail("the core mask '%s' is not a hexadecimal mask", mask);
    CPU_ZERO(&cores);
    for (size_t place = 0; place < digits; place++) {
        int value = digit_value(mask[digits - 1 - place]);
        if (value < 0) fail("the core mask '%s' is not a hexadecimal mask", mask);
        for (size_t bit = 0; bit < 4; bit++)
            if (value >> bit & 1) CPU_SET(4 * place + bit, &cores);
    }
    if (sched_setaffinity(0, sizeof cores, &cores))
        fail("the core mask '%s' cannot be set: %s", mask, strerror(errno));
}

char *affinity(void) {
    static char text[DIGITS + 1];
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (sched_getaffinity(0, sizeof cores, &cores))
        fail("the core mask in force cannot be read: %s", strerror(errno));
    for (size_t place = 0; place < DIGITS; place++) {
        int value = 0;
        for (size_t bit = 0; bit < 4; bit++) value |= !!CPU_ISSET(4 * place + bit, &cores) << bit;
        text[DIGITS - 1 - place] = "0123456789abcdef"[value];
    }
    return text + strspn(text, "0");
}
