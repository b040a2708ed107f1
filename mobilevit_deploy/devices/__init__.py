"""Where an artifact is measured: ``runner`` is the protocol, each other module one kind of device."""
