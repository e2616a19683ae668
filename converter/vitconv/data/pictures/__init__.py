"""Pictures: which are read, how one becomes a model's input, their pixels in numbers. Imports foundation."""
