"""A trained classifier, whoever made it, behind one protocol: checkpoints, and files of other people's."""
