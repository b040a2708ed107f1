"""Reports: each module renders the same results in one form."""
