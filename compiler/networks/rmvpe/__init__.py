"""RMVPE (Wei et al., 2023): F0 of voices, also over music."""
