/* Memory of this process, as the kernel counts it. */
#pragma once

/* Bytes of a field such as "VmRSS" in /proc/self/status, or "Pss" in /proc/self/smaps_rollup; -1 where the
 * kernel does not say: Android hides smaps_rollup from some shells. */
long long memory_bytes(const char *file, const char *field);
