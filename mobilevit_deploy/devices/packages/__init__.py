"""Programs and libraries for other machines, from Debian and PyPI, kept in a cache of this user's own."""
