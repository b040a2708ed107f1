#include "memory.h"

#include <stdio.h>
#include <string.h>

long long memory_bytes(const char *file, const char *field) {
    char line[256];
    long long kilobytes = -1;
    size_t length = strlen(field);
    FILE *lines = fopen(file, "r");
    if (!lines) return -1;
    while (kilobytes < 0 && fgets(line, sizeof line, lines))
        if (!strncmp(line, field, length) && line[length] == ':')
            if (sscanf(line + length + 1, "%lld kB", &kilobytes) != 1) break;
    fclose(lines);
    return kilobytes < 0 ? -1 : kilobytes * 1024;
}
