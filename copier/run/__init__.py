"""One run: what it opens, its phases, its proof, and how it is taken back."""
