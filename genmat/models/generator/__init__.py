"""Stage 3: G, the conditional flow from y to z."""
