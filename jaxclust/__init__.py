"""jaxclust: deep clustering in JAX."""
