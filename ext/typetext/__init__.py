"""Types and typed memory as text: what `dt` and `ddt` print."""
