"""Tables of structures with a property, and what a head reads of them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genmat.errors import InputError, StructureError
from genmat.models.foundation.tokens import TokenTable
from genmat.models.property import PROPERTIES, FeatureSet, HeadConfig, get_property
from genmat.models.property.features import composition_features, geometry_features, head_features
from genmat.models.property.io import PropertyTable, draw_split, read_property_table
from genmat.representation import Crystal, Orbit

SPECIES = [("Na", "Cl"), ("K", "Cl"), ("Na", "Br"), ("K", "Br"), ("Li", "F"), ("Mg", "O"), ("Rb", "I")]


def rows():
    """Return seven crystals of rocksalt, the last without a label."""
    half, n = 2.8, len(SPECIES)
    return {
        "species": [list(pair) for pair in SPECIES],
        "lattice": [[0, half, half, half, 0, half, half, half, 0]] * n,
        "frac_coords": [[0, 0, 0, 0.5, 0.5, 0.5]] * n,
        "hardness": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, float("nan")],
        "part": ["train", "train", "train", "val", "val", "test", "train"],
    }


def write(path, **changes):
    columns = {name: column for name, column in (rows() | changes).items() if column is not None}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "table.parquet")


def read(path, **changes):
    return read_property_table(path, **({"column": "hardness", "split_column": "part"} | changes))


def rocksalt(cation="Na", anion="Cl"):
    return Crystal(225, (Orbit(cation, "a"), Orbit(anion, "b")), (5.6, 5.6, 5.6, 90.0, 90.0, 90.0))


def test_a_table_gives_crystals_labels_and_splits(path):
    table = read(path)
    assert [crystal.number for crystal in table.crystals] == [225] * 6
    assert table.crystals[0].element_counts == {"Na": 1, "Cl": 1}
    np.testing.assert_array_equal(table.values, [1, 2, 3, 4, 5, 6])
    assert table.rows("val").tolist() == [False, False, False, True, True, False]


def test_rows_without_a_label_are_counted_and_named(path, caplog):
    table = read(path)
    assert table.dropped == {"without a label": 1}
    assert "hardness: 1 of 7 rows left out: 1 without a label" in caplog.text


def test_a_table_without_a_label_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no number in any of its 7 rows: a head needs labels"):
        read(write(tmp_path / "t.parquet", hardness=[float("nan")] * 7))


def test_nulls_count_as_missing_labels(tmp_path):
    table = read(write(tmp_path / "t.parquet", hardness=[1.0, None, 3.0, 4.0, 5.0, 6.0, None]))
    assert table.dropped == {"without a label": 2}


@pytest.mark.parametrize("column", ["species", "lattice", "frac_coords", "hardness", "part"])
def test_a_missing_column_is_named(tmp_path, column):
    with pytest.raises(StructureError, match=f"has no column '{column}', it has"):
        read(write(tmp_path / "t.parquet", **{column: None}))


def test_a_misspelt_column_gets_a_suggestion(path):
    with pytest.raises(StructureError, match=r"no column 'hardnes'.*Did you mean 'hardness'\?"):
        read(path, column="hardnes")


def test_a_column_of_text_is_no_property(path):
    with pytest.raises(InputError, match=r"column 'part' of .* holds values of type \w+, expected numbers"):
        read(path, column="part")


def test_elements_that_the_encoder_never_saw_are_left_out_by_name(path):
    table = read(path, known_elements={"Na", "K", "Cl", "Br", "Mg", "O"})
    assert table.dropped == {"without a label": 1, "with F, which the encoder never saw": 1}


def test_crystals_with_too_many_orbits_are_left_out(tmp_path):
    species, coordinates = rows()["species"], rows()["frac_coords"]
    species[0], coordinates[0] = ["Na", "Cl", "O"], [0, 0, 0, 0.5, 0.5, 0.5, 0.2, 0.2, 0.2]
    table = read(write(tmp_path / "t.parquet", species=species, frac_coords=coordinates), max_orbits=2)
    assert table.dropped["with more than 2 orbits"] == 1


def test_a_table_of_unknown_elements_alone_is_refused(path):
    with pytest.raises(InputError, match=r"none of the 7 rows can be used for hardness: .*which the encoder never saw"):
        read(path, known_elements={"Xe"})


@pytest.mark.parametrize(("part", "missing"), [(["val"] * 7, "train"), (["train"] * 7, "val")])
def test_an_empty_split_is_named(tmp_path, part, missing):
    with pytest.raises(InputError, match=rf"the split '{missing}' of hardness holds no usable row \(6 \w+\)"):
        read(write(tmp_path / "t.parquet", part=part))


def test_a_split_of_other_words_is_refused(tmp_path):
    with pytest.raises(InputError, match="6 without a split"):
        read(write(tmp_path / "t.parquet", part=["fit"] * 7))


def test_a_file_that_is_missing_or_no_parquet_is_named(tmp_path):
    with pytest.raises(StructureError, match=r"none\.parquet does not exist"):
        read(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(StructureError, match="is truncated or no parquet file"):
        read(tmp_path / "text.parquet")


def test_a_malformed_structure_is_named_by_its_row(tmp_path):
    coordinates = rows()["frac_coords"]
    coordinates[3] = [0, 0, 0]
    with pytest.raises(StructureError, match=r"row 3 of .*: 2 species, but 1 sites in frac_coords"):
        read(write(tmp_path / "t.parquet", frac_coords=coordinates))


def test_a_structure_without_symmetry_search_is_left_out(tmp_path):
    coordinates = rows()["frac_coords"]
    coordinates[0] = [0, 0, 0, 0, 0, 0]  # two atoms in one place
    table = read(write(tmp_path / "t.parquet", frac_coords=coordinates))
    assert table.dropped["without a symmetric representation"] == 1


def test_polymorphs_are_drawn_into_the_same_split():
    other = Crystal(221, (Orbit("Na", "a"), Orbit("Cl", "b")), (3.4, 3.4, 3.4, 90.0, 90.0, 90.0))
    assert draw_split(rocksalt()) == draw_split(other)
    metals = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Sc", "Y", "La", "Ti", "Zr", "Hf", "V", "Nb", "Ta"]
    drawn = [draw_split(rocksalt(metal, anion)) for metal in metals for anion in ("O", "S", "Se", "F", "Cl", "Br")]
    assert 0.6 < drawn.count("train") / len(drawn) < 0.95
    assert {"val", "test"} <= set(drawn)


def test_select_without_a_split_draws_one():
    metals = ["Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Sc", "Y", "La", "Ti", "Zr", "Hf", "V", "Nb", "Ta"]
    crystals = [rocksalt(metal, anion) for metal in metals for anion in ("O", "S", "F", "Cl", "Br", "I")]
    table = PropertyTable.select("x", crystals, np.ones(len(crystals)), None)
    assert table.split == tuple(draw_split(crystal) for crystal in crystals)


def test_composition_features_do_not_depend_on_the_cell_or_the_order():
    one = Crystal(225, (Orbit("Na", "a"), Orbit("Cl", "b")), (5.6, 5.6, 5.6, 90.0, 90.0, 90.0))
    other = Crystal(225, (Orbit("Cl", "a"), Orbit("Na", "b")), (6.0, 6.0, 6.0, 90.0, 90.0, 90.0))
    features = composition_features(TokenTable.from_crystals([one, other, rocksalt("K")]))
    np.testing.assert_allclose(features[0], features[1], atol=1e-6)
    assert not np.array_equal(features[0], features[2])
    assert np.isfinite(features).all()
    np.testing.assert_allclose((features[:, -103:] ** 2).sum(axis=1), 1.0, rtol=1e-6)


def test_an_element_on_two_orbits_counts_as_one():
    split = Crystal(221, (Orbit("Cu", "a"), Orbit("Cu", "c")), (3.6, 3.6, 3.6, 90.0, 90.0, 90.0))
    whole = Crystal(225, (Orbit("Cu", "a"),), (3.6, 3.6, 3.6, 90.0, 90.0, 90.0))
    features = composition_features(TokenTable.from_crystals([split, whole]))
    np.testing.assert_allclose(features[0], features[1], atol=1e-6)


def test_geometry_features_of_a_gene_are_unknown_but_for_its_symmetry():
    crystal = TokenTable.from_crystals([rocksalt()])
    gene = TokenTable.from_genes([(225, [("Na", "a"), ("Cl", "b")])])
    known, unknown = geometry_features(crystal)[0], geometry_features(gene)[0]
    assert np.isfinite(known).all()
    assert np.isnan(unknown).sum() == len(known) - 11
    np.testing.assert_array_equal(unknown[:11], known[:11])


def test_geometry_features_do_not_depend_on_the_order_of_orbits():
    one = Crystal(221, (Orbit("Sr", "a"), Orbit("Ti", "b"), Orbit("O", "c")), (3.9, 3.9, 3.9, 90.0, 90.0, 90.0))
    other = Crystal(221, (Orbit("O", "c"), Orbit("Ti", "b"), Orbit("Sr", "a")), (3.9, 3.9, 3.9, 90.0, 90.0, 90.0))
    features = geometry_features(TokenTable.from_crystals([one, other]))
    np.testing.assert_allclose(features[0], features[1], atol=1e-5)


def test_features_are_the_latent_alone_or_with_the_composition():
    latent = np.ones((2, 4), dtype=np.float32)
    crystals = [rocksalt(), rocksalt("K")]
    sizes = {FeatureSet.LATENT: 4, FeatureSet.LATENT_COMPOSITION: 163, FeatureSet.LATENT_DESCRIPTORS: 4 + 159 + 198}
    for features, size in sizes.items():
        found = head_features(latent, crystals, features=features)
        assert found.shape == (2, size)
        np.testing.assert_array_equal(
            found, head_features(latent, TokenTable.from_crystals(crystals), features=features)
        )
    with pytest.raises(InputError, match="1 latent vectors for 2 crystals"):
        head_features(latent[:1], crystals, features=FeatureSet.LATENT)
    with pytest.raises(InputError, match="latent vectors are not finite in 2 of 2 rows, the first is 0"):
        head_features(latent * np.float32("nan"), crystals, features=FeatureSet.LATENT)


def test_configuration_of_every_shipped_property_round_trips():
    for definition in PROPERTIES.values():
        config = HeadConfig(definition, width=7)
        assert HeadConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [({"width": 0}, "width of the head for band_gap is 0"), ({"dropout": 1.0}, "dropout"), ({"epochs": 2.5}, "epochs")],
)
def test_a_wrong_configuration_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        HeadConfig(PROPERTIES["band_gap"], **change)


def test_an_unknown_property_gets_a_suggestion():
    with pytest.raises(InputError, match=r"unknown property 'bandgap', known are .*Did you mean 'band_gap'\?"):
        get_property("bandgap")


def test_reading_a_table_loads_no_torch():
    code = "import sys, genmat.models.property.io; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
