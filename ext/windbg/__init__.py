"""dumpkit inside WinDbg: a target over the debugger's own engine, through pykd."""
