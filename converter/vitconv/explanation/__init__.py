"""Why a model says what it says: which parts of a picture count. Imports classifiers, runtimes and models."""
