"""dumpkit: the Windows kernel crash-dump commands, inside WinDbg and without it."""

from __future__ import annotations

__version__ = "0.1.0"
