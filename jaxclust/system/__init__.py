"""The machine that jaxclust runs on, and files that are whole or not there."""
