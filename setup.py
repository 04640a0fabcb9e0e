"""What pyproject.toml cannot say: a build begins with an empty build/lib.

setuptools packs whatever lies there, modules of an earlier build that were renamed or deleted since among it.
"""

from __future__ import annotations

from shutil import rmtree

from setuptools import setup
from setuptools.command.build_py import build_py


class FreshBuild(build_py):
    """Copies the packages into a folder that holds nothing else."""

    def run(self) -> None:
        if not self.editable_mode:
            rmtree(self.build_lib, ignore_errors=True)
        super().run()


setup(cmdclass={"build_py": FreshBuild})
