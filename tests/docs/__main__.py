"""python -m tests.docs: writes docs/commands and docs/pictures anew."""

from __future__ import annotations

from tests.docs.pages import write as write_pages
from tests.docs.pictures import write as write_pictures

write_pages()
write_pictures()
