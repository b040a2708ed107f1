"""A device daemon on loopback that speaks adb's protocol and runs commands here, with faults on demand.

Real adb clients and servers take it for a phone: ``adb connect 127.0.0.1:PORT``. Commands run in this
machine's ``/bin/sh``, with paths of the device mapped into a private folder:

    phone = Device(tmp_path)
    phone.program("getprop", "echo '[ro.product.model]: [Pixel 8]'")
    with Daemon(phone) as daemon:
        ...  # adb connect daemon.address
        daemon.faults.full_after = 1000

``device`` is the phone, ``faults`` what can go wrong, ``link`` the protocol, ``shell`` and ``sync`` the two
services of it that matter.
"""

from fakes.adb_daemon.daemon import Daemon
from fakes.adb_daemon.device import Device

__all__ = ["Daemon", "Device"]
