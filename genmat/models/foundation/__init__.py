"""Stage 1: the foundation model, x → z → x with the intrinsic properties ζ."""
