"""Exchange with other programs: CIF, extxyz, CSV and JSON."""
