"""The program that runs and times an artifact where there is no Python: a phone, or emulated ARM.

``source/`` is C: one measuring loop and one command line (``main.c`` describes it), and one file a runtime
that loads the official shared library. ``build`` compiles it, ``bundle`` puts it into a folder with that
library and the C library that both need, so that a device needs nothing installed; ``commands`` and
``output`` are the two directions of talking to it.

A runner reads raw input and writes raw output: C order, no header, as the manifest declares them. Models with
one input and one output can be run, as all exports of this project are.

ExecuTorch is not among the runtimes: its official aarch64 wheel holds its library only as a part of a Python
extension that needs PyTorch, and no static or shared library to link a program with.
"""
