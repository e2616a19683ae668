"""The networks in their authors' own formulation, as plain Keras functional models.

They are what `vitconv.models` is measured against: no layer here is written with a converter in mind.
Every layer has a name, and `model.weights` lists the weights in the order in which the image meets them
(a normalisation: gamma, beta, moving mean, moving variance; an attention: query, key, value, output, each
kernel before bias), which is the order that `weights.transplant` goes by.

Importing a module of networks imports Keras (about 11 s), so tests import them inside functions.
"""
