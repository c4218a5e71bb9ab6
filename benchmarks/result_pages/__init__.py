"""Pages of numbers made from the results of the benchmarks; ``benchmarks/write_pages.py`` writes them."""
