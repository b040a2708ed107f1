"""The matrix of models x targets x precisions x sizes x threads x devices, from one TOML file.

plan (the file) -> matrix (its combinations) -> made (what is on disk already) -> run (exports, then times).
"""
