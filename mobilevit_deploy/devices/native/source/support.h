/* Errors, files and processor masks. Whatever fails says so in one line, and ends the process. */
#pragma once

#include <stddef.h>

/* Print "run: ..." on standard error and leave with code 1. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* From now on, say in one line that the runtime crashed; LiteRT does on a truncated file. */
void explain_crashes(void);

/* A whole number from `least` to `most`; `what` names the argument in the error. */
long whole_number(const char *text, const char *what, long least, long most);

/* A finite number above zero. */
double positive_number(const char *text, const char *what);

/* The whole file, aligned to a cache line. */
void *read_file(const char *path, size_t *bytes);

void write_file(const char *path, const void *data, size_t bytes);

/* Read a file through, so that loading it is no measurement of the flash memory. */
void warm_file(const char *path);

/* Restrict this process, and the threads it will start, to a mask such as "f0"; "-" leaves it as it is. */
void set_affinity(const char *mask);

/* The mask in force, in hexadecimal without leading zeros; the caller's to keep. */
char *affinity(void);
