"""From probability to trees: thinning, skeleton, graph, crossings, bridges."""
