"""A MACE of random weights: MPA-0's architecture, a few channels wide."""

from __future__ import annotations

import contextlib
import io
import os
import warnings

ELEMENTS = (3, 8, 11, 14, 17, 22, 36, 38)


def tiny_mace() -> bytes:
    """Return the content of a ``.model`` file."""
    import torch

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mace  # noqa: F401 - before e3nn
        from e3nn import o3
        from mace import modules

        os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
        torch.manual_seed(0)
        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        network = modules.ScaleShiftMACE(
            r_max=4.5,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=2,
            interaction_cls=block,
            interaction_cls_first=block,
            num_interactions=2,
            num_elements=len(ELEMENTS),
            hidden_irreps=o3.Irreps("4x0e + 4x1o"),
            MLP_irreps=o3.Irreps("4x0e"),
            atomic_energies=torch.linspace(-1, -3, len(ELEMENTS)).numpy(),
            avg_num_neighbors=20.0,
            atomic_numbers=list(ELEMENTS),
            correlation=2,
            gate=torch.nn.functional.silu,
            atomic_inter_scale=50.0,  # forces of 0.1 eV/Å and more, as a trained one gives
            atomic_inter_shift=0.1,
        ).double()
        file = io.BytesIO()
        torch.save(network, file)
    return file.getvalue()
