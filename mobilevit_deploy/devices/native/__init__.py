"""The program that runs and times an artifact where there is no Python: a phone, or emulated ARM.

``source/`` is C: one measuring loop and one command line (``main.c`` describes it), and one file a runtime
that loads the official shared library. ``build`` compiles it, ``bundle`` puts it into a folder with that
library and the C library that both need, so that a device needs nothing installed; ``commands`` and
``output`` are the two directions of talking to it.

A runner reads raw input and writes raw output: C order, no header, as the manifest declares them. Models with
one input and one output can be run, as all exports of this project are.

ExecuTorch is not among the runtimes: its official aarch64 wheel holds the library only inside a Python
extension, which a program could load only with stand-ins for PyTorch and for the thread pool: one thread, and
other code than a phone would run. Its own ``executor_runner`` is the program to time there.
"""
