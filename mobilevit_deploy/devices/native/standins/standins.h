/* What stands in for a name of PyTorch or Python; libraries.py lists the names. */
#pragma once

/* Say which function was called, and end the process. */
void absent(const char *name) __attribute__((noreturn));

#define FUNCTION(name) \
    void name(void) { absent(#name); }

/* Larger than what is declared under any of the names: type objects, exceptions, singletons. */
#define OBJECT(name) char name[1024] __attribute__((aligned(16)));
