"""Whether Keras can be used here, and with TensorFlow below it."""

from __future__ import annotations

from importlib.util import find_spec

from mobilevit_deploy.errors import TargetError

_PACKAGES = ("tensorflow", "keras")


def require_tensorflow() -> None:
    """Make sure that Keras runs on TensorFlow.

    Raises:
        TargetError: one of them is not installed, or Keras is set to another backend.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise TargetError(
            f"The TensorFlow models cannot be used here: not installed: {', '.join(missing)}.",
            remedy="pip install 'mobilevit-deploy[tf]'",
        )
    import keras

    if keras.backend.backend() != "tensorflow":
        raise TargetError(
            f"Keras is set to the backend '{keras.backend.backend()}', and these models need tensorflow.",
            remedy="Set the environment variable KERAS_BACKEND=tensorflow before Python starts.",
        )
