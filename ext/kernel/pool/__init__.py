"""Pool: which allocation an address belongs to, in classic pool and in the segment heap."""
