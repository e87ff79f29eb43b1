"""Affine maps: text and exact arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from genmat.errors import RepresentationError
from genmat.representation.affine import format_affine, free_coordinate_solver, parse_affine


def test_text_is_parsed_into_integers():
    affine = parse_affine("-x, 2x, z+3/4")
    assert affine.matrix.tolist() == [[-1, 0, 0], [2, 0, 0], [0, 0, 1]]
    assert affine.shift.tolist() == [0, 0, 18]


@pytest.mark.parametrize("text", ["x,y,z", "-y,x-y,z+1/3", "0,0,0", "1/8,-y+5/8,y", "x,2x,1/4"])
def test_text_round_trip_is_exact(text):
    assert format_affine(parse_affine(text)) == text


def test_product_applies_the_right_map_first():
    screw, mirror = parse_affine("-x,-y,z+1/2"), parse_affine("x+1/4,-y,z")
    assert format_affine((screw @ mirror).modulo()) == "-x+3/4,y,z+1/2"


@pytest.mark.parametrize(("text", "complaint"), [("x,y", "2 coordinates"), ("x,y,w", "no sum"), ("x,y,z+1/7", "1/24")])
def test_bad_text_is_refused(text, complaint):
    with pytest.raises(RepresentationError, match=complaint):
        parse_affine(text)


def test_solver_inverts_the_map_of_free_coordinates():
    matrix = parse_affine("-y,2y,z").matrix
    free = np.array([0, 5, 7])
    assert (free_coordinate_solver(matrix) @ matrix @ free).tolist() == [0, 5, 7]


def test_solver_refuses_a_map_without_a_lone_coordinate():
    with pytest.raises(RepresentationError, match="stands alone"):
        free_coordinate_solver(parse_affine("x+y,x-y,0").matrix)
