"""The reference table: columns, hull, identity, and its file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest_reference import ENERGIES, METADATA, make_row
from pymatgen.analysis.structure_matcher import StructureMatcher

from genmat.errors import MissingReferenceError, ReferenceDataError, StorageError
from genmat.reference.io import METADATA_KEY, load_reference, write_reference
from genmat.reference.table import SCHEMA_VERSION, Reference
from genmat.representation import from_structure, to_structure
