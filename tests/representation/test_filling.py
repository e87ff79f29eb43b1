"""Masks are exact: compared with all genes of small cells, and followed at random in large ones."""

from __future__ import annotations

import doctest
import math
import pickle
import random
from collections import Counter, defaultdict
from functools import cache
from itertools import permutations

import numpy as np
import pytest

from genmat.errors import InputError, RepresentationError
from genmat.representation import filling, parse_gene, space_group
from genmat.representation.filling import ALL_ELEMENTS, GROUPS_ABOVE_P1, STOP, GeneConstraints

LI, OX, NA, FE = 3, 8, 11, 26
ELEMENTS = (LI, OX, NA, FE)
# Atoms up to which every gene is enumerated.
LARGEST = {1: 4, 2: 4, 12: 4, 35: 5, 62: 12, 99: 5, 139: 5, 166: 6, 194: 6, 221: 6, 225: 8, 227: 10}
LETTERS = "abcdefghijklmnopqrstuvwxyzA"


@cache
def all_genes(number):
    """Return every gene of up to ``LARGEST[number]`` atoms of four elements, as tuples of (rank, z)."""
    group = space_group(number)
    sites = [(p.multiplicity // group.n_centring, p.dof) for p in group.positions.values()]
    genes = []

    def extend(gene, atoms):
        for rank, (size, dof) in enumerate(sites):
            if atoms + size > LARGEST[number] or (gene and rank < gene[-1][0]):
                continue
            for z in ELEMENTS:
                same = bool(gene) and rank == gene[-1][0]
                if same and (dof == 0 or z < gene[-1][1]):
                    continue
                genes.append((*gene, (rank, z)))
                extend(genes[-1], atoms + size)

    extend((), 0)
    return genes


def atoms_of(number, gene):
    """Return the atoms of each element in the primitive cell."""
    group = space_group(number)
    counts = Counter()
    for rank, z in gene:
        counts[z] += group.position(LETTERS[rank]).multiplicity // group.n_centring
    return counts


def fulfils(constraints, number, gene):
    """Return whether a gene fulfils constraints without a template, by their definition."""
    counts = atoms_of(number, gene)
    if not (constraints.n_atoms[0] <= counts.total() <= constraints.n_atoms[1]):
        return False
    if not (constraints.n_elements[0] <= len(counts) <= constraints.n_elements[1]):
        return False
    if constraints.amounts is not None:
        divisor = math.gcd(*counts.values())
        return {z: n // divisor for z, n in counts.items()} == dict(constraints.amounts)
    return number in constraints.numbers and constraints.required <= set(counts) <= constraints.allowed


def assert_masks_are_those_of(constraints, number, genes):
    """Compare the masks after every beginning of a gene with what the genes go on with."""
    following = defaultdict(set)
    for gene in genes:
        for i, orbit in enumerate(gene):
            following[gene[:i]].add(orbit)
        following[gene].add((STOP, 0))
    assert constraints.feasible_numbers()[number] == bool(genes)
    for gene, nexts in following.items():
        state = constraints.start(number)
        for rank, z in gene:
            state = constraints.place(state, rank, z)
        letters = {rank for rank, _ in nexts}
        assert set(np.flatnonzero(constraints.letters(state))) == letters, (constraints, number, gene)
        for rank in range(STOP + 1):
            elements = {z for r, z in nexts if r == rank and r != STOP}
            if rank in letters or rank < 3 or rank == STOP:
                assert set(np.flatnonzero(constraints.elements(state, rank))) == elements, (constraints, number, gene)


def n_tries(number):
    """Return how many random constraints are tried: fewer where there are many genes."""
    return max(3, min(12, 20_000 // len(all_genes(number))))


def random_limits(generator, number):
    n_atoms = sorted(generator.choices(range(1, LARGEST[number] + 1), k=2))
    n_elements = sorted(generator.choices(range(1, 5), k=2))
    return tuple(n_atoms), tuple(n_elements)


@pytest.mark.parametrize("number", LARGEST)
def test_masks_agree_with_all_genes_of_the_group(number):
    constraints = GeneConstraints(
        numbers={number}, allowed=frozenset(ELEMENTS), n_atoms=(1, LARGEST[number]), n_elements=(1, 4)
    )
    assert_masks_are_those_of(constraints, number, all_genes(number))


@pytest.mark.parametrize("number", LARGEST)
def test_masks_agree_with_the_genes_that_fulfil_random_constraints(number):
    generator = random.Random(number)  # noqa: S311
    tried = 0
    while tried < n_tries(number):
        n_atoms, n_elements = random_limits(generator, number)
        allowed = generator.sample(ELEMENTS, generator.randint(1, 4))
        required = generator.sample(allowed, generator.randint(0, len(allowed)))
        try:
            constraints = GeneConstraints(
                numbers=frozenset({number}),
                allowed=frozenset(allowed),
                required=frozenset(required),
                n_elements=n_elements,
                n_atoms=n_atoms,
            )
        except InputError:
            continue
        tried += 1
        genes = [gene for gene in all_genes(number) if fulfils(constraints, number, gene)]
        assert_masks_are_those_of(constraints, number, genes)


@pytest.mark.parametrize("number", LARGEST)
def test_masks_agree_with_the_genes_of_random_compositions(number):
    generator = random.Random(number)  # noqa: S311
    tried = 0
    while tried < 2 * n_tries(number):
        n_atoms, _ = random_limits(generator, number)
        if tried % 2:  # a composition that the group holds, if not with this number of atoms
            amounts = dict(atoms_of(number, generator.choice(all_genes(number))))
        else:
            amounts = {z: generator.randint(1, 4) for z in generator.sample(ELEMENTS, generator.randint(1, 4))}
        required = frozenset(generator.sample(sorted(amounts), 1))
        try:
            constraints = GeneConstraints(
                numbers=frozenset({number}), required=required, n_atoms=n_atoms, amounts=amounts
            )
        except InputError:
            continue
        tried += 1
        genes = [gene for gene in all_genes(number) if fulfils(constraints, number, gene)]
        assert_masks_are_those_of(constraints, number, genes)


TEMPLATES = ["225:A.a,B.b", "221:A.a,B.b,C.c", "186:A.b,B.b", "62:A.a,A.c,B.c,C.c2", "12:A.i,B.a,B.i", "2:A.a,B.b,C.i"]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"required": frozenset({OX})},
        {"required": frozenset({LI, FE}), "n_elements": (2, 4)},
        {"allowed": frozenset({LI, OX, FE})},
        {"amounts": {LI: 1, FE: 1}},
        {"amounts": {LI: 1, OX: 3, FE: 1}},
        {"amounts": {LI: 1, FE: 2}},
    ],
    ids=str,
)
def test_masks_of_a_template_allow_every_fitting_assignment_of_elements(template, options):
    number, occupations = parse_gene(template)
    orbits = sorted((LETTERS.index(letter), role) for role, letter in occupations)
    roles = sorted({role for _, role in orbits})
    options = {"allowed": frozenset(ELEMENTS), "n_atoms": (1, 40), **options}
    try:
        constraints = GeneConstraints(template=template, **options)
    except InputError:
        assert "amounts" in options  # its multiples do not fit
        return
    genes = []
    for elements in permutations(ELEMENTS, len(roles)):
        element_of = dict(zip(roles, elements, strict=True))
        gene = tuple((rank, element_of[role]) for rank, role in orbits)
        if fulfils(constraints, number, gene):
            genes.append(gene)
    assert genes
    assert_masks_are_those_of(constraints, number, genes)


def random_genes(constraints, n, seed):
    """Follow the masks at random; return the finished states."""
    generator = np.random.default_rng(seed)
    numbers = generator.choice(np.flatnonzero(constraints.feasible_numbers()), n)
    states, finished = [constraints.start(int(number)) for number in numbers], []
    while states:
        ranks = (generator.random((len(states), STOP + 1)) * constraints.letter_masks(states)).argmax(axis=1)
        finished += [state for state, rank in zip(states, ranks, strict=True) if rank == STOP]
        going = [(state, int(rank)) for state, rank in zip(states, ranks, strict=True) if rank != STOP]
        if not going:
            break
        states, letters = [state for state, _ in going], [rank for _, rank in going]
        masks = constraints.element_masks(states, letters)
        assert masks.any(axis=1).all(), "a dead end"
        elements = (generator.random(masks.shape) * masks).argmax(axis=1)
        states = [constraints.place(*orbit) for orbit in zip(states, letters, map(int, elements), strict=True)]
    return finished


def assert_is_a_gene(state):
    """Check order, slots and counts of a finished gene."""
    group = space_group(state.number)
    assert list(state.orbits) == sorted(state.orbits)
    for rank, n_orbits in Counter(rank for rank, _ in state.orbits).items():
        assert n_orbits == 1 or group.position(LETTERS[rank]).dof > 0
    assert atoms_of(state.number, state.orbits).total() == state.n_atoms


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_atoms": (1, 60)},
        {"n_atoms": (17, 17), "n_elements": (3, 4)},
        {"required": frozenset({OX, 22, 38}), "n_elements": (4, 6)},
        {"allowed": frozenset({1, 6, 7, 8}), "required": frozenset({8}), "n_elements": (4, 4), "n_atoms": (30, 60)},
        {"amounts": {22: 1, OX: 2}, "n_atoms": (1, 60)},
        {"amounts": {1: 6, 6: 1, 7: 1, 82: 1, 53: 3}, "n_atoms": (12, 48)},
        {"amounts": {LI: 7, 57: 3, 40: 2, OX: 12}, "n_atoms": (1, 60), "required": frozenset({LI})},
    ],
    ids=str,
)
def test_every_random_walk_along_the_masks_ends_in_a_gene_that_fulfils_the_constraints(options):
    constraints = GeneConstraints(**options)
    finished = random_genes(constraints, 300, seed=1)
    assert len(finished) == 300
    for state in finished:
        assert_is_a_gene(state)
        assert fulfils(constraints, state.number, state.orbits)


def test_forgetting_the_masks_changes_nothing(monkeypatch):
    monkeypatch.setattr("genmat.representation.filling_masks._CACHED_MASKS", 10)
    options = {"required": frozenset({OX}), "n_elements": (2, 3)}
    few = random_genes(GeneConstraints(**options), 50, seed=2)
    monkeypatch.undo()
    assert few == random_genes(GeneConstraints(**options), 50, seed=2)


def test_batches_are_the_single_masks():
    constraints = GeneConstraints(required=frozenset({OX}))
    states = [constraints.start(number) for number in (2, 62, 225)] + random_genes(constraints, 5, seed=3)
    assert np.array_equal(constraints.letter_masks(states), [constraints.letters(state) for state in states])
    ranks = [0, 1, 2, 3, 0, 1, 2, 3]
    expected = [constraints.elements(state, rank) for state, rank in zip(states, ranks, strict=True)]
    assert np.array_equal(constraints.element_masks(states, ranks), expected)


def test_masks_are_shared_and_read_only():
    constraints = GeneConstraints()
    mask = constraints.letters(constraints.start(225))
    assert mask is constraints.letters(constraints.start(225))
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False


def test_pickled_constraints_are_equal_and_give_the_same_masks():
    constraints = GeneConstraints(amounts={OX: 4, 22: 2}, n_atoms=(1, 12))
    random_genes(constraints, 10, seed=5)
    copy = pickle.loads(pickle.dumps(constraints))  # noqa: S301
    assert copy == constraints
    assert random_genes(copy, 10, seed=6) == random_genes(constraints, 10, seed=6)


def test_p1_only_when_it_is_named():
    assert not GeneConstraints().feasible_numbers()[1]
    assert GeneConstraints(numbers=frozenset({1})).feasible_numbers()[1]
    assert GeneConstraints(template="1:A.a,B.a2").feasible_numbers()[1]


def test_composition_is_reduced():
    assert GeneConstraints(amounts={OX: 4, 22: 2}) == GeneConstraints(amounts=((22, 1), (OX, 2)))


def test_composition_that_fits_one_size_only_has_that_size():
    constraints = GeneConstraints(numbers=frozenset({225}), amounts={NA: 1, 17: 1})
    assert {state.n_atoms for state in random_genes(constraints, 100, seed=4)} >= {2, 12}


def test_example_of_the_module_works():
    assert doctest.testmod(filling).failed == 0


CONTRADICTIONS = {
    "no space group is allowed": {"numbers": frozenset()},
    "space group 231 does not exist, expected 1 to 230": {"numbers": frozenset({231})},
    "no atomic number is allowed": {"allowed": frozenset()},
    "atomic number 119 does not exist, expected 1 to 118": {"allowed": frozenset({119})},
    "required elements O are not among the allowed": {"allowed": frozenset({LI}), "required": frozenset({OX})},
    "n_elements is 3 to 2, expected an ascending range within 1 to 118": {"n_elements": (3, 2)},
    "n_atoms is 0 to 5, expected an ascending range within 1 to 60": {"n_atoms": (0, 5)},
    "n_atoms is 1 to 61": {"n_atoms": (1, 61)},
    "2 elements are required .Li, O., but n_elements allows 1": {"required": frozenset({LI, OX}), "n_elements": (1, 1)},
    "2 elements are required .Li, O., but n_atoms allows 1 atoms": {"required": frozenset({LI, OX}), "n_atoms": (1, 1)},
    "asks for 2 elements at least, but only Li are allowed": {"allowed": frozenset({LI}), "n_elements": (2, 3)},
    "asks for 5 elements at least, but n_atoms allows 4 atoms": {"n_elements": (5, 6), "n_atoms": (1, 4)},
    "the composition is empty": {"amounts": {}},
    "atomic number 0 does not exist": {"amounts": {0: 1}},
    "the composition has 0 O, expected a whole number": {"amounts": {OX: 0}},
    "the composition has 1.5 O, expected a whole number": {"amounts": {OX: 1.5}},
    "composition Li2O holds O, which is not allowed": {"amounts": {LI: 2, OX: 1}, "allowed": frozenset({LI})},
    "composition Li2O lacks the required Fe": {"amounts": {LI: 2, OX: 1}, "required": frozenset({FE})},
    "composition Li2O has 2 elements, n_elements allows 3 to 4": {"amounts": {LI: 2, OX: 1}, "n_elements": (3, 4)},
    "composition Li2O has 3 atoms, no multiple of it fits n_atoms 4 to 5": {
        "amounts": {LI: 2, OX: 1},
        "n_atoms": (4, 5),
    },
    "'rock salt' is no gene": {"template": "rock salt"},
    "999": {"template": "999:A.a"},
    "has no Wyckoff letter 'z'": {"template": "225:A.z"},
    "has 2 orbits on a, which has no free coordinate in space group 225": {"template": "225:A.a,B.a"},
    "is of space group 225, which is not among the allowed": {"template": "225:A.a", "numbers": frozenset({221})},
    "has 28 atoms in the primitive cell, n_atoms is 1 to 20": {"template": "62:A.a,A.c,B.c,C.c2,C.d"},
    "has 2 elements, n_elements allows 3 to 3": {"template": "225:A.a,B.b", "n_elements": (3, 3)},
    "has 1 elements, Li, O are required": {"template": "225:A.a", "required": frozenset({LI, OX})},
    "has 2 elements, only Li are allowed": {"template": "225:A.a,B.b", "allowed": frozenset({LI})},
    "holds 1 A, 1 B atoms, which is no multiple of composition Li2O": {
        "template": "225:A.a,B.b",
        "amounts": {LI: 2, OX: 1},
    },
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_contradiction_is_told_in_one_line(message):
    with pytest.raises(InputError, match=message) as caught:
        GeneConstraints(**CONTRADICTIONS[message])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"numbers": frozenset({225}), "amounts": {LI: 1, OX: 4}, "n_atoms": (1, 5)},
            r"^composition LiO4 cannot be placed in .* group 225 \(Fm-3m\): .* 10 atoms in space group 225, or 1 to 5",
        ),
        (
            {"numbers": frozenset({230, 228}), "n_elements": (2, 3), "n_atoms": (1, 11)},
            r"^a gene of 2 or more elements cannot be placed in .* group 228, 230: .* 12 atoms in space group 228, or",
        ),
        (
            {"numbers": frozenset({229}), "required": frozenset({1, 2, LI, OX, NA, FE}), "n_atoms": (1, 10)},
            r"^a gene of 6 or more elements with H, He, Li, O, Na, Fe cannot .* 26 atoms .* 229, or 1 to 10 .* 191",
        ),
    ],
)
def test_impossible_group_names_the_nearest_possible(options, message):
    constraints = GeneConstraints(**options)
    assert not constraints.feasible_numbers().any()
    with pytest.raises(InputError, match=message):
        constraints.check()


def test_possible_constraints_pass_the_check():
    GeneConstraints(numbers=frozenset({225}), amounts={NA: 1, 17: 1}).check()


def test_default_constraints_leave_every_group_above_p1():
    constraints = GeneConstraints()
    assert set(np.flatnonzero(constraints.feasible_numbers())) == GROUPS_ABOVE_P1
    assert constraints.allowed == ALL_ELEMENTS


def test_place_refuses_what_is_no_letter_or_not_in_the_composition():
    constraints = GeneConstraints(amounts={NA: 1, 17: 1})
    state = constraints.start(225)
    with pytest.raises(RepresentationError, match="space group 225 has 12 Wyckoff letters, got rank 12"):
        constraints.place(state, 12, NA)
    with pytest.raises(InputError, match="8 is not in the composition"):
        constraints.place(state, 0, OX)
    template = GeneConstraints(template="225:A.a")
    full = template.place(template.start(225), 0, NA)
    with pytest.raises(InputError, match="has 1 orbits, all are placed"):
        template.place(full, 1, NA)
