"""Names of tensors: the modules that they come from."""

from __future__ import annotations

import re

_CLASS_OF_MODULE = re.compile(rb"(?:\w+\.)+(?:\w*?_(?=[a-z0-9])|\w+/)")
"""In litert-torch's names, all but ``query`` of ``torch.nn.modules.linear.Linear_query``, and the outermost
module, which has a class alone."""

_MOST_PARTS = 3
"""Of a name that are kept: the innermost modules."""


def module_of(name: bytes) -> str:
    """The dotted path of the module that a tensor of litert-torch's comes from.

    Containers that are never called themselves, such as a ``ModuleList``, are not in it:
    ``model.mobilevit.encoder.2.transformer.0.attention.attention.query``.
    """
    return _path(name).decode().replace("/", ".")


def short(name: bytes) -> bytes:
    """A tensor's name, for people who look at the graph; whole, names are up to 13 % of the file.

    litert-torch gives the full path of classes and modules, TensorFlow joins the paths of all that it fused.
    """
    return b"/".join(_path(name).split(b"/")[-_MOST_PARTS:])


def _path(name: bytes) -> bytes:
    return _CLASS_OF_MODULE.sub(b"", name).split(b";")[0]
