"""Trainings that several systems share: autoencoders, and classifiers of soft labels."""
