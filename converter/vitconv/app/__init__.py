"""Export folders → the Android demo app. Imports exporting."""
