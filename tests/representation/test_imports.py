"""The package is light to import."""

from __future__ import annotations

import subprocess
import sys


def test_import_loads_neither_torch_nor_pyxtal_nor_the_table():
    code = (
        "import sys, genmat.representation, genmat.representation.io as io;"
        "heavy = {'torch', 'pyxtal', 'scipy.optimize', 'atomate2', 'matplotlib'} & set(sys.modules);"
        "assert not heavy, heavy; assert io.read_wyckoff_table.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
