"""Where an artifact is measured: this machine; later phones and emulators."""
