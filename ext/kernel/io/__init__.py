"""The I/O system: IRPs, device and driver objects, files."""
