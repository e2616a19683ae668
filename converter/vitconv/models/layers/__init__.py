"""The Keras layers that networks are made of, and their gradients. Imports models.forms, foundation."""
