"""Bad inputs of many kinds, made from a seed: each is answered with one line, and nothing is lost.

`__main__` is the command, `judge` runs one input and says what is wrong with the answer; the other modules make inputs.
"""
