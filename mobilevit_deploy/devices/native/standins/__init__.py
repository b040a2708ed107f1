"""Stand-ins for PyTorch beside ExecuTorch's library, which on ARM comes only as part of a Python extension.

The extension asks for PyTorch's libraries and for Python, to hand tensors to and fro, which no runner does.
Of all that it asks for, only this is needed of libraries that PyTorch brings along: the thread pool, here of
one thread; cpuinfo, which tells what the processor can do; and one function of KleidiAI. Whatever else is
called ends the process, and says which function it was.
"""
