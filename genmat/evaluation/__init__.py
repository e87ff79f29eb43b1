"""Metrics of generated structures, for any set of them: validity, uniqueness, novelty, symmetry, stability, S.S.U.N.

>>> from genmat.evaluation import Options, Sample, evaluate
"""

from genmat.evaluation.evaluate import evaluate, select
from genmat.evaluation.evaluation import Definition, Evaluation
from genmat.evaluation.options import Options
from genmat.evaluation.published import Comparison, Outlier
from genmat.evaluation.row import Row
from genmat.evaluation.sample import Sample

__all__ = ["Comparison", "Definition", "Evaluation", "Options", "Outlier", "Row", "Sample", "evaluate", "select"]
