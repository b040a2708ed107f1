"""ARM64 code on an x86-64 Linux machine, under QEMU: parity on ARM's own kernels, and instruction counts."""
