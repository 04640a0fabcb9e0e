"""Hardware errors as Windows records them (WHEA): error records, their sections, error sources.

Layouts: ntddk.h of the Windows Driver Kit, and the Common Platform Error Record of the UEFI specification (appendix N),
which it follows. A record is read without symbols.
"""
