"""The program that runs and times an artifact where there is no Python: a phone, or emulated ARM.

``source/`` is C: one measuring loop and one command line (``main.c`` describes it), and one file a runtime
that loads the official shared library; ExecuTorch's is C++, as its library is. ``build`` compiles it,
``bundle`` puts it into a folder with that library and the C library that both need, so that a device needs
nothing installed; ``commands`` and ``output`` are the two directions of talking to it.

A runner reads raw input and writes raw output: C order, no header, as the manifest declares them. Models with
one input and one output can be run, as all exports of this project are.

ExecuTorch's official aarch64 wheel holds its library only as a Python extension, which ``standins`` lets a
program load without Python and PyTorch. The kernels are ExecuTorch's own; the thread pool is not, so that it
runs on one thread, and XNNPACK is not told which core it is on, which matters on little ones. Where that is
not enough, ExecuTorch's ``executor_runner`` is the program to time.
"""
