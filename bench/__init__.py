"""What the copier costs: beside the server's own floor, beside other tools, and as the data grows.

`make bench` is the short form, `make bench-peers` and `make bench-growth` write JSON into `bench/results/`, and
`python -m bench.render` makes `bench/RESULTS.md` and the chart of it.
"""
