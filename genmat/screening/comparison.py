"""The compiled test of :mod:`genmat.screening.matching`: cell by cell, translation by translation, in plain loops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from genmat.representation.compilation import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type FloatArray = NDArray[np.float64]
    type IntArray = NDArray[np.int64]


@compiled
def is_same_cell(
    left: FloatArray,
    left_points: FloatArray,
    right: FloatArray,
    right_points: FloatArray,
    counts: IntArray,
    tolerances: tuple[float, float, float],
) -> bool:
    """Return whether two reduced cells of one composition are one crystal.

    Parameters
    ----------
    left, right
        Lattices, rows a, b, c, shape (3, 3), in units of the cube root of the volume per atom.
    left_points, right_points
        Fractional coordinates, shape (n, 3), sorted by element.
    counts
        Number of atoms of each element, shape (n_elements,).
    tolerances
        Relative of edges, of displacements in units of the cube root of the volume per atom, of angles in degrees.
    """
    ltol, stol, angle_tol = tolerances
    limit = math.radians(angle_tol)
    target, found = np.empty(6), np.empty(6)
    _fill_parameters(left, found)
    _fill_parameters(right, target)
    # A needle beside a compact cell would have millions of vectors to try, a flat cell no end of them.
    if _is_longer(found, target, 1.0 + ltol) or not abs(determinant(left)) > 0.0:
        return False
    steps, vectors, norms, edges, n_edges = _edges_like(left, target, ltol)
    cosines = _cosine_bounds(target, limit)
    scale, metric, normal, moved = np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.empty_like(left_points)
    for i in range(n_edges[0]):
        a = edges[0, i]
        for j in range(n_edges[1]):
            b = edges[1, j]
            if not _is_within(_cosine(vectors, norms, a, b), cosines[2]):
                continue
            for axis in range(3):
                y, z = (axis + 1) % 3, (axis + 2) % 3
                normal[axis] = steps[a, y] * steps[b, z] - steps[a, z] * steps[b, y]
            for k in range(n_edges[2]):
                c = edges[2, k]
                volume = normal[0] * steps[c, 0] + normal[1] * steps[c, 1] + normal[2] * steps[c, 2]
                if abs(abs(volume) - 1.0) > 0.5:
                    continue
                if not _is_within(_cosine(vectors, norms, a, c), cosines[1]):
                    continue
                if not _is_within(_cosine(vectors, norms, b, c), cosines[0]):
                    continue
                found[0], found[1], found[2] = norms[a], norms[b], norms[c]
                found[3], found[4] = _angle(vectors, norms, b, c), _angle(vectors, norms, a, c)
                found[5] = _angle(vectors, norms, a, b)
                for axis in range(3):
                    scale[0, axis], scale[1, axis], scale[2, axis] = steps[a, axis], steps[b, axis], steps[c, axis]
                _fill_metric(found, target, metric)
                change_basis(left_points, scale, moved)
                if _atoms_coincide(moved, right_points, metric, counts, stol):
                    return True
    return False


@compiled
def _is_longer(parameters: FloatArray, others: FloatArray, factor: float) -> bool:
    """Return whether the shortest, middle or longest edge of a cell is longer than that of another one by a factor."""
    edges, bounds = np.sort(parameters[:3]), np.sort(others[:3])
    longer: bool = edges[0] > factor * bounds[0] or edges[1] > factor * bounds[1] or edges[2] > factor * bounds[2]
    return longer


@compiled
def _edges_like(
    lattice: FloatArray, target: FloatArray, ltol: float
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, IntArray]:
    """Return the lattice vectors that are as long as an edge of another cell.

    Returns
    -------
    steps
        Coordinates of lattice vectors, shape (m, 3).
    vectors
        The same in space, shape (m, 3).
    norms
        Their lengths, shape (m,).
    edges
        Rows of the vectors that are as long as each edge, shape (3, m).
    n_edges
        Number of these, shape (3,).
    """
    longest, volume = max(target[0], target[1], target[2]) * (1.0 + ltol), abs(determinant(lattice))
    reach = np.empty(3, dtype=np.int64)
    for axis in range(3):
        j, k = (axis + 1) % 3, (axis + 2) % 3
        square = 0.0  # of the area of the face that the other two axes span
        for x in range(3):
            y, z = (x + 1) % 3, (x + 2) % 3
            square += (lattice[j, y] * lattice[k, z] - lattice[j, z] * lattice[k, y]) ** 2
        reach[axis] = int(longest / volume * math.sqrt(square))
    bounds = np.empty((3, 2))
    for edge in range(3):
        bounds[edge, 0], bounds[edge, 1] = (target[edge] / (1.0 + ltol)) ** 2, (target[edge] * (1.0 + ltol)) ** 2
    size = _fill_vectors(lattice, reach, bounds, np.empty((0, 3)), np.empty((0, 3)))
    steps, vectors, norms = np.empty((size, 3)), np.empty((size, 3)), np.empty(size)
    _fill_vectors(lattice, reach, bounds, steps, vectors)
    edges, n_edges = np.empty((3, size), dtype=np.int64), np.zeros(3, dtype=np.int64)
    for row in range(size):
        square = vectors[row, 0] ** 2 + vectors[row, 1] ** 2 + vectors[row, 2] ** 2
        norms[row] = math.sqrt(square)
        for edge in range(3):
            if _is_within(square, bounds[edge]):
                edges[edge, n_edges[edge]] = row
                n_edges[edge] += 1
    return steps, vectors, norms, edges, n_edges


@compiled
def _fill_vectors(
    lattice: FloatArray, reach: IntArray, bounds: FloatArray, steps: FloatArray, vectors: FloatArray
) -> int:
    """Fill in the lattice vectors as long as one of three edges, as far as there is room; return how many there are."""
    size = 0
    for i in range(-reach[0], reach[0] + 1):
        for j in range(-reach[1], reach[1] + 1):
            for k in range(-reach[2], reach[2] + 1):
                x = i * lattice[0, 0] + j * lattice[1, 0] + k * lattice[2, 0]
                y = i * lattice[0, 1] + j * lattice[1, 1] + k * lattice[2, 1]
                z = i * lattice[0, 2] + j * lattice[1, 2] + k * lattice[2, 2]
                square = x * x + y * y + z * z
                if not (
                    _is_within(square, bounds[0]) or _is_within(square, bounds[1]) or _is_within(square, bounds[2])
                ):
                    continue
                if size < len(steps):
                    steps[size, 0], steps[size, 1], steps[size, 2] = i, j, k
                    vectors[size, 0], vectors[size, 1], vectors[size, 2] = x, y, z
                size += 1
    return size


@compiled
def _is_within(value: float, bounds: FloatArray) -> bool:
    """Return whether a value lies between two others."""
    within: bool = bounds[0] < value < bounds[1]
    return within


@compiled
def _cosine_bounds(parameters: FloatArray, limit: float) -> FloatArray:
    """Return the least and largest cosine of each angle that differs from a cell's by no more than a limit, (3, 2)."""
    bounds = np.empty((3, 2))
    for axis in range(3):
        angle = parameters[3 + axis]
        bounds[axis, 0] = -2.0 if angle + limit >= math.pi else math.cos(angle + limit)
        bounds[axis, 1] = 2.0 if angle <= limit else math.cos(angle - limit)
    return bounds


@compiled
def _atoms_coincide(
    points: FloatArray,
    others: FloatArray,
    metric: FloatArray,
    counts: IntArray,
    stol: float,
) -> bool:
    """Return whether a translation that maps an atom of the rarest element onto another one maps all, within ``stol``.

    Of the pair that the translation brings together the remaining distance is the mean shift, so both are ≤ ``stol``,
    and no atom may be farther than twice that from its partner.
    """
    begin, start, fewest = 0, 0, len(points) + 1
    for count in counts:
        if count < fewest:
            begin, fewest = start, count
        start += count
    partners, shift = np.empty(len(points), dtype=np.int64), np.empty(3)
    for chosen in range(begin, begin + fewest):
        for axis in range(3):
            shift[axis] = points[chosen, axis] - others[begin, axis]
        n_partners = _find_nearest(points, others, shift, metric, counts, 4.0 * stol * stol, partners)
        if not n_partners:
            continue
        if n_partners < len(points):
            _assign(points, others, shift, metric, counts, partners)
        if _largest_square(points, others, shift, metric, partners) <= stol * stol:
            return True
    return False


@compiled
def _find_nearest(
    points: FloatArray,
    others: FloatArray,
    shift: FloatArray,
    metric: FloatArray,
    counts: IntArray,
    limit: float,
    partners: IntArray,
) -> int:
    """Fill in each atom's nearest one of its element and return how many are; 0 if one's is farther than the limit."""
    taken = np.zeros(len(points), dtype=np.bool_)
    n_partners, start = 0, 0
    for count in counts:
        for atom in range(start, start + count):
            nearest = math.inf
            for other in range(start, start + count):
                square = _square(points, atom, others, other, shift, metric)
                if square < nearest:
                    nearest = square
                    partners[atom] = other
            if nearest > limit:
                return 0
            if not taken[partners[atom]]:
                taken[partners[atom]] = True
                n_partners += 1
        start += count
    return n_partners


@compiled
def _largest_square(
    points: FloatArray, others: FloatArray, shift: FloatArray, metric: FloatArray, partners: IntArray
) -> float:
    """Return the largest squared distance of an atom from its partner, the mean shift removed."""
    between = np.empty_like(points)
    mean = np.zeros(3)
    for atom in range(len(points)):
        for axis in range(3):
            value = points[atom, axis] - shift[axis] - others[partners[atom], axis]
            between[atom, axis] = value - math.floor(value + 0.5)
            mean[axis] += between[atom, axis] / len(points)
    largest = 0.0
    for atom in range(len(points)):
        largest = max(
            largest, _length(between[atom, 0] - mean[0], between[atom, 1] - mean[1], between[atom, 2] - mean[2], metric)
        )
    return largest


@compiled
def _assign(
    points: FloatArray,
    others: FloatArray,
    shift: FloatArray,
    metric: FloatArray,
    counts: IntArray,
    partners: IntArray,
) -> None:
    """Give each atom a partner of its element of its own, so that the sum of squared distances is least."""
    start = 0
    for count in counts:
        costs = np.empty((count, count))
        for i in range(count):
            for j in range(count):
                costs[i, j] = _square(points, start + i, others, start + j, shift, metric)
        prices, rebates, owners = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64) - 1
        for joining in range(count):
            _join(joining, costs, prices, rebates, owners)
        for j in range(count):
            partners[start + owners[j]] = start + j
        start += count


@compiled
def _join(joining: int, costs: FloatArray, prices: FloatArray, rebates: FloatArray, owners: IntArray) -> None:
    """Add an atom to a cheapest assignment, which stays one.

    The cheapest alternating path, by Dijkstra's algorithm on costs reduced by the prices of atoms and the rebates of
    partners, leads from the atom to a partner without an owner; all along it partners change hands (Kuhn 1955,
    https://doi.org/10.1002/nav.3800020109).
    """
    count = len(costs)
    distances, previous = np.zeros(count) + math.inf, np.zeros(count, dtype=np.int64) - 1
    done = np.zeros(count, dtype=np.bool_)
    atom, column, reached = joining, -1, 0.0
    while atom >= 0:
        following, least = -1, math.inf
        for j in range(count):
            distance = reached + costs[atom, j] - prices[atom] - rebates[j]
            if not done[j] and distance < distances[j]:
                distances[j], previous[j] = distance, column
            if not done[j] and distances[j] < least:
                following, least = j, distances[j]
        column, reached = following, least
        done[column] = True
        atom = owners[column]
    prices[joining] += reached
    for j in range(count):
        if done[j] and owners[j] >= 0:
            prices[owners[j]] += reached - distances[j]
            rebates[j] -= reached - distances[j]
    while column >= 0:
        before = previous[column]
        owners[column] = joining if before < 0 else owners[before]
        column = before


@compiled
def _square(
    points: FloatArray, atom: int, others: FloatArray, other: int, shift: FloatArray, metric: FloatArray
) -> float:
    """Return the squared distance of a shifted atom to another one, the fractional difference wrapped."""
    x = points[atom, 0] - shift[0] - others[other, 0]
    y = points[atom, 1] - shift[1] - others[other, 1]
    z = points[atom, 2] - shift[2] - others[other, 2]
    return _length(x - math.floor(x + 0.5), y - math.floor(y + 0.5), z - math.floor(z + 0.5), metric)


@compiled
def _length(x: float, y: float, z: float, metric: FloatArray) -> float:
    """Return the squared length of a fractional vector."""
    diagonal: float = x * x * metric[0, 0] + y * y * metric[1, 1] + z * z * metric[2, 2]
    sides: float = x * y * metric[0, 1] + x * z * metric[0, 2] + y * z * metric[1, 2]
    return diagonal + 2.0 * sides


@compiled
def _fill_metric(one: FloatArray, other: FloatArray, metric: FloatArray) -> None:
    """Fill in the scalar products of the axes of the cell whose edges and angles are the means of two."""
    for i in range(3):
        for j in range(3):
            angle = 0.0 if i == j else 0.5 * (one[6 - i - j] + other[6 - i - j])
            metric[i, j] = 0.25 * (one[i] + other[i]) * (one[j] + other[j]) * math.cos(angle)


@compiled
def _fill_parameters(lattice: FloatArray, parameters: FloatArray) -> None:
    """Fill in edges and angles (radians) of a lattice, shape (6,)."""
    for axis in range(3):
        parameters[axis] = math.sqrt(lattice[axis, 0] ** 2 + lattice[axis, 1] ** 2 + lattice[axis, 2] ** 2)
    for axis in range(3):
        parameters[3 + axis] = _angle(lattice, parameters, (axis + 1) % 3, (axis + 2) % 3)


@compiled
def _angle(vectors: FloatArray, norms: FloatArray, i: int, j: int) -> float:
    """Return the angle between two of some vectors, radians."""
    return math.acos(_cosine(vectors, norms, i, j))


@compiled
def _cosine(vectors: FloatArray, norms: FloatArray, i: int, j: int) -> float:
    """Return the cosine of the angle between two of some vectors."""
    product = vectors[i, 0] * vectors[j, 0] + vectors[i, 1] * vectors[j, 1] + vectors[i, 2] * vectors[j, 2]
    cosine: float = min(1.0, max(-1.0, product / (norms[i] * norms[j])))
    return cosine


@compiled
def determinant(m: FloatArray) -> float:
    """Return the determinant of a matrix, shape (3, 3)."""
    first: float = m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
    second: float = m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
    third: float = m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    return first - second + third


@compiled
def change_basis(points: FloatArray, scale: FloatArray, moved: FloatArray) -> None:
    """Fill in the coordinates of points in the cell of a unimodular matrix."""
    inverse, volume = np.empty((3, 3)), determinant(scale)
    for i in range(3):
        for j in range(3):
            p, q, r, s = (j + 1) % 3, (j + 2) % 3, (i + 1) % 3, (i + 2) % 3
            inverse[i, j] = (scale[p, r] * scale[q, s] - scale[p, s] * scale[q, r]) / volume
    for row in range(len(points)):
        for axis in range(3):
            moved[row, axis] = 0.0
            for step in range(3):
                moved[row, axis] += points[row, step] * inverse[step, axis]
